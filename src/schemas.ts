import { Type, type Static, type TSchema } from '@sinclair/typebox'

export const Uuid = Type.String({ format: 'uuid' })

/** In answers and bodies alike: there, and null. */
export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** What a TypeBox enumeration of strings is called in JSON Schema. */
const Enum = <T extends string[]>(...values: [...T]) => Type.Unsafe<T[number]>({ type: 'string', enum: values })

// --- What callers send ---

const ContentPart = Type.Union([
  Type.Object({ type: Type.Literal('text'), text: Type.String() }),
  Type.Object({
    type: Type.Literal('image_url'),
    image_url: Type.Object({ url: Type.String({ minLength: 1 }), detail: Type.Optional(Type.String()) })
  })
])

export const Message = Type.Object({
  role: Enum('user', 'assistant', 'system'),
  content: Type.Union([Type.String(), Type.Array(ContentPart, { minItems: 1 })])
})
export type Message = Static<typeof Message>

const Messages = Type.Array(Message, { minItems: 1, maxItems: 2000 })

/** How the answer is to be formed, in the words of the OpenAI protocol; given on as it is. */
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

/** Printable ASCII, as header values are; a WebSocket message's key is held to the same. */
const IdempotencyKey = Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$' })

export const IdempotencyHeaders = Type.Object({ 'idempotency-key': Type.Optional(IdempotencyKey) })

/** The edge function names the run that it has begun for us. */
export const ValidatedHeaders = Type.Object({
  'idempotency-key': Type.Optional(IdempotencyKey),
  'x-run-id': Type.Optional(Uuid)
})

// --- Runs and what they tell ---

export const RunStatus = Enum('queued', 'running', 'succeeded', 'failed', 'cancelled')
export type RunStatus = Static<typeof RunStatus>

/** Tokens, as the gateway counted them, or estimated from the text where it did not say. */
export const Usage = Type.Object({
  promptTokens: Type.Integer(),
  completionTokens: Type.Integer(),
  totalTokens: Type.Integer(),
  estimated: Type.Boolean()
})
export type Usage = Static<typeof Usage>

const RunError = Type.Object({ code: Type.String(), message: Type.String() })

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

/** A run as admins see it: with whose it is. */
export const AdminRun = Type.Composite([Run, Type.Object({ userId: Uuid })])
export type AdminRun = Static<typeof AdminRun>

/** What a run that succeeded has brought; executionTime in milliseconds. */
const answer = {
  response: Type.String(),
  executionTime: Type.Integer(),
  runId: Uuid,
  usage: Usage,
  creditsUsed: Type.Integer(),
  finishReason: Nullable(Type.String()),
  /** The agent was asked the same before: no model was. */
  cached: Type.Optional(Type.Boolean())
}

/** What a run tells its readers, in the order it happened; the last is one of `done`, `error`, `cancelled`. */
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

// --- What is answered ---

/** The answer to an `execute` that does not stream. */
export const ExecuteAnswer = Type.Object(answer)

export const ErrorBody = Type.Object({
  error: Type.String(),
  code: Type.String(),
  statusCode: Type.Integer(),
  requestId: Type.String(),
  runId: Type.Optional(Uuid),
  details: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() })))
})

export const errorAnswers = { '4xx': ErrorBody, '5xx': ErrorBody }

export const Credits = Type.Object({
  creditsRemaining: Type.Integer(),
  creditsReserved: Type.Integer(),
  creditsUsedThisMonth: Type.Integer(),
  planType: Type.String()
})
export type Credits = Static<typeof Credits>

/** What changed a balance; credits used below zero are such as were given. */
export const LedgerEntry = Type.Object({
  id: Uuid,
  runId: Nullable(Uuid),
  agentId: Nullable(Uuid),
  creditsUsed: Type.Integer(),
  operationType: Type.String(),
  metadata: Type.Unknown(),
  createdAt: Nullable(Type.String())
})
export type LedgerEntry = Static<typeof LedgerEntry>

/** Balances, ledger and runs held against each other: `problems` are at most so many of the `total`. */
export const Audit = Type.Object({
  checked: Type.Object({ balances: Type.Integer(), entries: Type.Integer(), runs: Type.Integer() }),
  problems: Type.Array(Type.Object({
    kind: Type.String(),
    userId: Nullable(Type.String()),
    runId: Nullable(Type.String()),
    expected: Nullable(Type.Integer()),
    found: Nullable(Type.Integer()),
    message: Type.String()
  })),
  total: Type.Integer()
})
export type Audit = Static<typeof Audit>

export const AdminStats = Type.Object({
  total_users: Type.Integer(),
  total_agents: Type.Integer(),
  agents_this_week: Type.Integer(),
  agents_this_month: Type.Integer(),
  active_users: Type.Integer(),
  total_credits_used: Type.Integer(),
  credits_used_this_week: Type.Integer(),
  pro_subscribers: Type.Integer(),
  expert_subscribers: Type.Integer()
})
export type AdminStats = Static<typeof AdminStats>

export const Health = Type.Object({
  status: Type.Literal('healthy'),
  timestamp: Type.String(),
  service: Type.Literal('jeesi-railway-backend'),
  version: Type.String(),
  uptime: Type.Number()
})

const State = Enum('up', 'down', 'off')

export const Readiness = Type.Object({
  status: Enum('ready', 'not_ready'),
  database: State,
  redis: State,
  gateway: State,
  python: State,
  draining: Type.Boolean(),
  /** Where an admin asked for it; null: the database could not be asked. */
  audit: Type.Optional(Nullable(Audit))
})
export type Readiness = Static<typeof Readiness>

// --- What a WebSocket client sends ---

const RequestId = Type.Optional(Type.String({ maxLength: 200 }))

export const SocketMessages = {
  auth: Type.Object({ type: Type.Literal('auth'), token: Type.String({ minLength: 1 }) }),
  ping: Type.Object({ type: Type.Literal('ping') }),
  resume: Type.Object({ type: Type.Literal('resume'), runId: Uuid, after: Type.Optional(Type.Integer({ minimum: 0 })) }),
  cancel: Type.Object({ type: Type.Literal('cancel'), runId: Uuid }),
  agent_execute: Type.Object({
    type: Type.Literal('agent_execute'),
    agentId: Uuid,
    messages: Messages,
    requestId: RequestId,
    idempotencyKey: Type.Optional(IdempotencyKey)
  })
}
export type ResumeMessage = Static<typeof SocketMessages.resume>
export type CancelMessage = Static<typeof SocketMessages.cancel>
export type ExecuteMessage = Static<typeof SocketMessages.agent_execute>
