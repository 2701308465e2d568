import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'
import { ErrorBody, IdempotencyKey, KnownEventsText, Messages, RunEvent, Uuid } from '#shared/schemas.ts'

const RequestId = Type.Optional(Type.String({ maxLength: 200 }))

/** What clients send. */
export const SocketMessages = {
  auth: Type.Object({ type: Type.Literal('auth'), token: Type.String({ minLength: 1 }) }),
  ping: Type.Object({ type: Type.Literal('ping') }),
  resume: Type.Object({
    type: Type.Literal('resume'),
    runId: Uuid,
    after: Type.Optional(Type.Integer({ minimum: 0 })),
    events: KnownEventsText
  }),
  cancel: Type.Object({ type: Type.Literal('cancel'), runId: Uuid }),
  agent_execute: Type.Object({
    type: Type.Literal('agent_execute'),
    agentId: Uuid,
    messages: Messages,
    requestId: RequestId,
    idempotencyKey: Type.Optional(IdempotencyKey),
    events: KnownEventsText,
    traceparent: Type.Optional(Type.String()),
    tracestate: Type.Optional(Type.String())
  })
}

export type ResumeMessage = Static<typeof SocketMessages.resume>
export type CancelMessage = Static<typeof SocketMessages.cancel>
export type ExecuteMessage = Static<typeof SocketMessages.agent_execute>

/** What the events of a run are called on a WebSocket. */
export const SOCKET_EVENTS = {
  queued: 'agent_queued',
  started: 'agent_execution_started',
  chunk: 'agent_chunk',
  reasoning: 'agent_reasoning',
  progress: 'agent_progress',
  rewind: 'agent_rewind',
  step: 'agent_step',
  tool_call: 'agent_tool_call',
  tool_result: 'agent_tool_result',
  retry: 'agent_retry',
  done: 'agent_execution_complete',
  error: 'agent_execution_error',
  cancelled: 'agent_cancelled'
} as const satisfies Record<RunEvent['type'], string>

/** Of a refused message they are told again as they came, if they are short. */
const Told = Type.Optional(Type.String())
const failure = { error: Type.String(), code: Type.String(), retryAfter: Type.Optional(Type.Integer()) }
const ofRequest = { requestId: Told, runId: Told }

/** `agent_execution_error` where it is no event: a request was refused, or the connection ends before its runs. */
const Refused = Type.Object({ type: Type.Literal(SOCKET_EVENTS.error), ...failure, ...ofRequest })
const CutOff = Type.Object({
  type: Type.Literal(SOCKET_EVENTS.error),
  error: Type.String(),
  code: Type.String(),
  runId: Uuid,
  retryable: Type.Boolean(),
  requestId: Told
})

/** What the server sends beside events of runs. */
const ownMessages = {
  connected: Type.Object({ type: Type.Literal('connected'), message: Type.String(), userId: Uuid }),
  auth_required: Type.Object({ type: Type.Literal('auth_required') }),
  pong: Type.Object({ type: Type.Literal('pong'), timestamp: Type.String() }),
  error: Type.Object({ type: Type.Literal('error'), ...failure, details: ErrorBody.properties.details, ...ofRequest }),
  agent_reconnect: Type.Object({ type: Type.Literal('agent_reconnect'), runId: Uuid, after: Type.Integer() })
}

const eventMessages = Object.fromEntries(RunEvent.anyOf.map(event => {
  const name = SOCKET_EVENTS[event.properties.type.const]
  return [name, toMessage(name, event)]
}))

/** An event of a run as a message: under a name of its own, with its run, its number, and the request that it answers. */
function toMessage (name: string, { properties }: TObject): TObject {
  return Type.Object({ ...properties, type: Type.Literal(name), runId: Uuid, seq: Type.Integer(), requestId: Told })
}

/** What the server sends, by the type of the message. */
export const ServerMessages: Readonly<Record<string, TSchema>> = {
  ...ownMessages,
  ...eventMessages,
  [SOCKET_EVENTS.error]: Type.Union([eventMessages[SOCKET_EVENTS.error]!, Refused, CutOff])
}
