import { type RouteDefinition, SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import type { TSchema } from '@sinclair/typebox'
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'
import { compileStrict, createAjv } from '#shared/http/validation.ts'

const coercing = createAjv({ coerceTypes: true }).addFormat('time in UTC, ISO 8601', isTime)

/** Whether PostgreSQL can read a time that looks like one: it has no year 0, and no month has a day too many. */
function isTime (text: string): boolean {
  const time = new Date(text)
  return !text.startsWith('0000') && !Number.isNaN(time.getTime()) && time.toISOString().slice(0, 10) === text.slice(0, 10)
}

/** Compiles the schemas of requests. Bodies are JSON and have types; queries and headers are text and are coerced. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) =>
  httpPart === 'body' ? compileStrict(schema) : coercing.compile(schema)

const compileSerializer = SerializerSelector()({}, {})
const serializers = new WeakMap<object, ReturnType<typeof compileSerializer>>()

/** Compiles the schemas of responses as Fastify does, but each only once: most routes share the error's, many the run's. */
export const serializerCompiler: FastifySerializerCompiler<TSchema> = route => {
  const serialize = serializers.get(route.schema) ?? compileSerializer(route as RouteDefinition)
  serializers.set(route.schema, serialize)
  return serialize
}
