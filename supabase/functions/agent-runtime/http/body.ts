import { errors, type Detail } from '../errors.ts'

export type Part = { type: 'text', text: string } | { type: 'image_url', image_url: { url: string, detail?: string } }
export interface Message { role: 'user' | 'assistant' | 'system', content: string | Part[] }
/** How the answer is to be formed, in the words of the OpenAI protocol; given on as it is. */
export interface ResponseFormat { type: string, json_schema?: object }
export interface ExecuteBody { agentId: string, messages: Message[], response_format?: ResponseFormat, stream?: boolean }

/** As much of JSON Schema as the body needs. */
interface Schema {
  type?: 'object' | 'array' | 'string' | 'boolean'
  required?: string[]
  properties?: Record<string, Schema>
  items?: Schema
  minItems?: number
  maxItems?: number
  minLength?: number
  const?: string
  enum?: string[]
  format?: 'uuid'
  anyOf?: Schema[]
}

const STRING: Schema = { type: 'string' }
const PART: Schema = {
  anyOf: [
    { type: 'object', required: ['type', 'text'], properties: { type: { const: 'text', type: 'string' }, text: STRING } },
    {
      type: 'object',
      required: ['type', 'image_url'],
      properties: {
        type: { const: 'image_url', type: 'string' },
        image_url: { type: 'object', required: ['url'], properties: { url: { type: 'string', minLength: 1 }, detail: STRING } }
      }
    }
  ]
}
/** What the service takes at `POST /api/agent/execute`. */
const BODY: Schema = {
  type: 'object',
  required: ['agentId', 'messages'],
  properties: {
    agentId: { type: 'string', format: 'uuid' },
    messages: {
      type: 'array',
      minItems: 1,
      maxItems: 2000,
      items: {
        type: 'object',
        required: ['role', 'content'],
        properties: {
          role: { type: 'string', enum: ['user', 'assistant', 'system'] },
          content: { anyOf: [STRING, { type: 'array', minItems: 1, items: PART }] }
        }
      }
    },
    response_format: {
      type: 'object',
      required: ['type'],
      properties: { type: { type: 'string', enum: ['text', 'json_object', 'json_schema'] }, json_schema: { type: 'object' } }
    },
    stream: { type: 'boolean' }
  }
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
/** Images come as data URIs. */
const MAX_BYTES = 10 * 1024 * 1024
/** Deeper than anything callers send. */
const MAX_DEPTH = 100

/** @throws {EdgeError} invalid_json, body_too_large, bad_request with what is wrong where, in the words of the service. */
export async function readBody (request: Request): Promise<ExecuteBody> {
  const body = parse(await readText(request))
  refuseDeepNesting(body)
  const details = check(body, BODY, '')
  const [first] = details
  if (first) throw errors.badRequest(`${first.path || 'The body'} ${first.message}.`).with({ details })
  return body as ExecuteBody
}

async function readText ({ headers, body }: Request): Promise<string> {
  const tooLarge = errors.bodyTooLarge(MAX_BYTES)
  if (Number(headers.get('content-length')) > MAX_BYTES) throw tooLarge
  const decoder = new TextDecoder()
  let bytes = 0
  let text = ''
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw tooLarge
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw errors.invalidJson()
  }
}

function refuseDeepNesting (value: unknown): void {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw errors.badRequest(`The JSON is nested more than ${MAX_DEPTH} levels deep.`)
    level = level.flatMap(item => item !== null && typeof item === 'object' ? Object.values(item) : [])
  }
}

/** The first thing that is wrong; of alternatives, what is wrong with each. */
function check (value: unknown, schema: Schema, path: string): Detail[] {
  if (schema.anyOf) return checkAny(value, schema.anyOf, path)
  const wrong = (message: string): Detail[] => [{ path, message }]
  const type = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value
  if (schema.const !== undefined && value !== schema.const) return wrong('must be equal to constant')
  if (schema.type && type !== schema.type) return wrong(`must be ${schema.type}`)
  if (schema.enum && !schema.enum.includes(value as string)) return wrong(`must be equal to one of the allowed values: ${schema.enum.join(', ')}`)
  if (schema.minLength && (value as string).length < schema.minLength) return wrong(`must NOT have fewer than ${schema.minLength} characters`)
  if (schema.format && !UUID.test(value as string)) return wrong('must match format "uuid"')
  if (Array.isArray(value)) return checkItems(value, schema, path)
  return type === 'object' ? checkProperties(value as Record<string, unknown>, schema, path) : []
}

function checkAny (value: unknown, schemas: Schema[], path: string): Detail[] {
  const problems = schemas.map(schema => check(value, schema, path))
  return problems.some(list => list.length === 0) ? [] : [...problems.flat(), { path, message: 'must match a schema in anyOf' }]
}

function checkItems (items: unknown[], { minItems = 0, maxItems = Infinity, items: schema }: Schema, path: string): Detail[] {
  if (items.length > maxItems) return [{ path, message: `must NOT have more than ${maxItems} items` }]
  if (items.length < minItems) return [{ path, message: `must NOT have fewer than ${minItems} items` }]
  return firstProblem(items.entries(), ([index, item]) => check(item, schema ?? {}, join(path, index)))
}

function checkProperties (object: Record<string, unknown>, { required = [], properties = {} }: Schema, path: string): Detail[] {
  const missing = required.find(name => object[name] === undefined)
  if (missing) return [{ path: join(path, missing), message: 'is required' }]
  return firstProblem(Object.entries(properties), ([name, schema]) =>
    object[name] === undefined ? [] : check(object[name], schema, join(path, name)))
}

function firstProblem<T> (items: Iterable<T>, find: (item: T) => Detail[]): Detail[] {
  for (const item of items) {
    const problems = find(item)
    if (problems.length > 0) return problems
  }
  return []
}

function join (path: string, name: string | number): string {
  return path ? `${path}.${name}` : String(name)
}
