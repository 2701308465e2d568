import { type RouteDefinition, SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import type { TSchema } from '@sinclair/typebox'
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'
import { compileStrict, createAjv } from '#shared/http/validation.ts'

const coercing = createAjv({ coerceTypes: true })

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
