import { type Static, type TSchema, Type } from '@sinclair/typebox'

export const Uuid = Type.String({ format: 'uuid' })

/** A value that is present but may be null. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** An enumeration of strings, as `enum` of JSON Schema. */
export const Enum = <T extends string[]>(...values: [...T]) => Type.Unsafe<T[number]>({ type: 'string', enum: values })

// --- Requests ---

/** Addresses that a gateway can load without reaching into its own files: `http:`, `https:` and `data:`, in any case. */
export const IMAGE_URL = /^(https?:\/\/|data:)/i

/** A text that `IMAGE_URL` matches. */
const ImageUrl = Type.String({ minLength: 1, format: 'http, https or data URL' })

const ContentPart = Type.Union([
  Type.Object({ type: Type.Literal('text'), text: Type.String() }),
  Type.Object({
    type: Type.Literal('image_url'),
    image_url: Type.Object({ url: ImageUrl, detail: Type.Optional(Type.String()) })
  })
])
export type ContentPart = Static<typeof ContentPart>

/** A call of a tool, as a model made it; callers may send more properties. */
const CalledTool = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 1000 }),
  type: Type.Optional(Type.Literal('function')),
  function: Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }), arguments: Type.String({ maxLength: 262_144 }) })
})
export type CalledTool = Static<typeof CalledTool>

/** Callers may send more properties; `toKnownMessages` drops them, and `checkMessages` says which of these belong together. */
export const Message = Type.Object({
  role: Enum('user', 'assistant', 'system', 'developer', 'tool'),
  content: Type.Optional(Type.Union([Type.String(), Type.Array(ContentPart, { minItems: 1 }), Type.Null()])),
  name: Type.Optional(Nullable(Type.String())),
  tool_calls: Type.Optional(Nullable(Type.Array(CalledTool, { maxItems: 128 }))),
  tool_call_id: Type.Optional(Nullable(Type.String({ maxLength: 1000 })))
})
export type Message = Static<typeof Message>

export const Messages = Type.Array(Message, { minItems: 1, maxItems: 2000 })

/** The format of the answer, as in the OpenAI protocol. It is passed to the gateway unchanged. */
export const ResponseFormat = Type.Object({ type: Enum('text', 'json_object', 'json_schema'), json_schema: Type.Optional(Type.Object({})) })
export type ResponseFormat = Static<typeof ResponseFormat>

export const ExecuteBody = Type.Object({
  agentId: Uuid,
  messages: Messages,
  response_format: Type.Optional(ResponseFormat),
  stream: Type.Optional(Type.Boolean({ default: true })),
  background: Type.Optional(Type.Boolean({ default: false }))
})
export type ExecuteBody = Static<typeof ExecuteBody>

export const FunctionResult = Type.Object({
  functionName: Type.String(),
  functionType: Type.String(),
  success: Type.Boolean(),
  data: Type.Optional(Type.Unknown()),
  error: Type.Optional(Nullable(Type.String()))
})
export type FunctionResult = Static<typeof FunctionResult>

export const ExecuteValidatedBody = Type.Object({
  userId: Uuid,
  agentId: Uuid,
  agentConfig: Type.Object({
    name: Type.Optional(Nullable(Type.String())),
    system_prompt: Type.Optional(Nullable(Type.String())),
    ai_model: Type.Optional(Nullable(Type.String())),
    temperature: Type.Optional(Nullable(Type.Number({ minimum: 0, maximum: 2 }))),
    max_tokens: Type.Optional(Nullable(Type.Integer({ minimum: 1 }))),
    knowledge_base: Type.Optional(Type.Unknown())
  }),
  messages: Messages,
  functionResults: Type.Optional(Type.Array(FunctionResult)),
  response_format: Type.Optional(ResponseFormat),
  stream: Type.Optional(Type.Boolean({ default: true }))
})
export type ExecuteValidatedBody = Static<typeof ExecuteValidatedBody>

/** Printable ASCII, as in header values. The key in a WebSocket message follows the same rule. */
export const IdempotencyKey = Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' })

export const IdempotencyHeaders = Type.Object({ 'idempotency-key': Type.Optional(IdempotencyKey) })

/** The events that a reader knows: names of groups, separated by commas, or `*`. */
export const KnownEventsText = Type.Optional(Type.String({ maxLength: 200 }))

export const ExecuteHeaders = Type.Object({
  'idempotency-key': Type.Optional(IdempotencyKey),
  'x-stream-events': KnownEventsText
})

/** The edge function names the run that it has begun for the service. */
export const ValidatedHeaders = Type.Object({
  'idempotency-key': Type.Optional(IdempotencyKey),
  'x-stream-events': KnownEventsText,
  'x-run-id': Type.Optional(Uuid)
})

// --- Runs and their events ---

export const RunStatus = Enum('queued', 'running', 'succeeded', 'failed', 'cancelled')
export type RunStatus = Static<typeof RunStatus>

/** Tokens, as counted by the gateway, or estimated from the texts if it reported none. */
export const Usage = Type.Object({
  promptTokens: Type.Integer(),
  completionTokens: Type.Integer(),
  totalTokens: Type.Integer(),
  estimated: Type.Boolean()
})
export type Usage = Static<typeof Usage>

export const RunError = Type.Object({ code: Type.String(), message: Type.String() })
export type RunError = Static<typeof RunError>

export const Run = Type.Object({
  runId: Uuid,
  agentId: Uuid,
  status: RunStatus,
  attempt: Type.Integer(),
  response: Type.String(),
  finishReason: Nullable(Type.String()),
  usage: Nullable(Usage),
  creditsReserved: Type.Integer(),
  creditsCharged: Type.Integer(),
  error: Nullable(RunError),
  cached: Type.Optional(Type.Boolean()),
  createdAt: Type.String(),
  startedAt: Nullable(Type.String()),
  finishedAt: Nullable(Type.String())
})
export type Run = Static<typeof Run>

/**
 * A run in a list: `response` is its first 500 characters, and `responseLength` how many characters there are; null while another
 * process makes the run.
 */
export const ListedRun = Type.Composite([Run, Type.Object({ responseLength: Nullable(Type.Integer()) })])
export type ListedRun = Static<typeof ListedRun>

/** The result of a run that succeeded; executionTime in milliseconds. */
const answer = {
  response: Type.String(),
  executionTime: Type.Integer(),
  runId: Uuid,
  usage: Usage,
  creditsUsed: Type.Integer(),
  finishReason: Nullable(Type.String()),
  /** The answer came from the cache; no model was called. */
  cached: Type.Optional(Type.Boolean())
}

/** The events of a run, in order. The last one is `done`, `error` or `cancelled`. */
export const RunEvent = Type.Union([
  Type.Object({ type: Type.Literal('started'), runId: Uuid, agentId: Uuid, attempt: Type.Integer() }),
  Type.Object({ type: Type.Literal('queued'), runId: Uuid, position: Type.Integer() }),
  Type.Object({ type: Type.Literal('chunk'), content: Type.String() }),
  Type.Object({ type: Type.Literal('reasoning'), content: Type.String() }),
  Type.Object({
    type: Type.Literal('progress'),
    fraction: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    message: Type.Optional(Type.String())
  }),
  Type.Object({ type: Type.Literal('rewind'), to: Type.Integer() }),
  Type.Object({ type: Type.Literal('step'), step: Type.Integer() }),
  Type.Object({ type: Type.Literal('tool_call'), id: Type.String(), name: Type.String(), arguments: Type.Unknown() }),
  Type.Object({
    type: Type.Literal('tool_result'),
    id: Type.String(),
    name: Type.String(),
    result: Type.Optional(Type.String()),
    error: Type.Optional(Type.String())
  }),
  Type.Object({
    type: Type.Literal('retry'),
    code: Type.String(),
    delayMs: Type.Integer(),
    model: Type.Optional(Type.String())
  }),
  Type.Object({ type: Type.Literal('done'), ...answer }),
  Type.Object({
    type: Type.Literal('error'),
    error: Type.String(),
    code: Type.String(),
    runId: Uuid,
    retryable: Type.Boolean()
  }),
  Type.Object({ type: Type.Literal('cancelled'), runId: Uuid, creditsUsed: Type.Integer() })
])
export type RunEvent = Static<typeof RunEvent>
export type FinalEvent = Extract<RunEvent, { type: 'done' | 'error' | 'cancelled' }>

// --- Answers ---

/** The answer to an `execute` that does not stream. */
export const ExecuteAnswer = Type.Object(answer)
export type ExecuteAnswer = Static<typeof ExecuteAnswer>

export const ErrorBody = Type.Object({
  error: Type.String(),
  code: Type.String(),
  statusCode: Type.Integer(),
  requestId: Type.String(),
  runId: Type.Optional(Uuid),
  /** Seconds, as in the header Retry-After. */
  retryAfter: Type.Optional(Type.Integer()),
  details: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() })))
})

export const errorAnswers = { '4xx': ErrorBody, '5xx': ErrorBody }
