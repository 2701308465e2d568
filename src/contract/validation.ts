import { type RouteDefinition, SerializerSelector } from '@fastify/fast-json-stringify-compiler'
import type { TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { FastifySchemaCompiler, FastifySerializerCompiler } from 'fastify'
import { type Detail, errors, type ServiceError } from '#shared/errors.ts'

/** As PostgreSQL takes it: RFC 4122 knows a prefix `urn:uuid:` too. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

// The schemas are ours: a test holds them against the schema of schemas, for whose compiling a start would wait, as it
// would for code that is shorter and hardly faster.
const common = { useDefaults: true, allowUnionTypes: true, meta: false, validateSchema: false, code: { optimize: false } }
// Bodies are JSON and have types: "5" is no number there. Queries and headers are text and want coercion.
const strict = withFormats(new Ajv(common))
const coercing = withFormats(new Ajv({ ...common, coerceTypes: true }))

/** Compiles the schemas of routes. Properties that no schema knows pass, for callers are often newer or older than this service. */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) =>
  (httpPart === 'body' ? strict : coercing).compile(schema)

const compileSerializer = SerializerSelector()({}, {})
const serializers = new WeakMap<object, ReturnType<typeof compileSerializer>>()

/** Compiles the schemas of answers as Fastify does, each once: most routes share that of errors, and many that of a run. */
export const serializerCompiler: FastifySerializerCompiler<TSchema> = route => {
  const serialize = serializers.get(route.schema) ?? compileSerializer(route as RouteDefinition)
  serializers.set(route.schema, serialize)
  return serialize
}

/** Compiles the schema of a WebSocket message. */
export function compileMessage (schema: TSchema): ValidateFunction {
  return strict.compile(schema)
}

/** The error of a request that does not fit its schema. @param what it is: body, querystring, message … */
export function invalid (problems: ErrorObject[], what: string): ServiceError {
  const details = describe(problems)
  const [first] = details
  return errors.badRequest(`${first?.path || `The ${what}`} ${first?.message ?? 'is not valid'}.`).with({ details })
}

/** What is wrong where, in words: `messages.0.content must be string`. */
function describe (problems: ErrorObject[]): Detail[] {
  return problems.map(({ instancePath, params, message }) => {
    const missing = params?.missingProperty as string | undefined
    const path = [...instancePath.split('/').slice(1), ...(missing ? [missing] : [])].join('.')
    const allowed = params?.allowedValues as unknown[] | undefined
    return { path, message: missing ? 'is required' : `${message ?? 'is not valid'}${allowed ? `: ${allowed.join(', ')}` : ''}` }
  })
}

function withFormats (ajv: Ajv): Ajv {
  return ajv.addFormat('uuid', UUID)
}
