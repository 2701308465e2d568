import { type Static, Type } from '@sinclair/typebox'
import { Enum, Nullable } from '#shared/schemas.ts'

/** What a part holds depends on its type. */
const AgUiPart = Type.Object({
  type: Type.String({ maxLength: 200 }),
  text: Type.Optional(Type.String()),
  source: Type.Optional(Type.Object({
    type: Type.String({ maxLength: 200 }),
    value: Type.Optional(Type.String()),
    mimeType: Type.Optional(Nullable(Type.String({ maxLength: 200 })))
  })),
  mimeType: Type.Optional(Type.String({ maxLength: 200 })),
  url: Type.Optional(Type.String()),
  data: Type.Optional(Type.String())
})
export type AgUiPart = Static<typeof AgUiPart>

const AgUiToolCall = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 1000 }),
  function: Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }), arguments: Type.String({ maxLength: 262_144 }) })
})

/** A message of AG-UI. Other properties of it are passed over. */
export const AgUiMessage = Type.Object({
  id: Type.String({ maxLength: 1000 }),
  role: Enum('user', 'assistant', 'system', 'developer', 'tool', 'reasoning', 'activity'),
  content: Type.Optional(Type.Union([Type.String(), Type.Array(AgUiPart, { maxItems: 10_000 }), Type.Object({}), Type.Null()])),
  toolCalls: Type.Optional(Nullable(Type.Array(AgUiToolCall, { maxItems: 128 }))),
  toolCallId: Type.Optional(Nullable(Type.String({ maxLength: 1000 }))),
  error: Type.Optional(Nullable(Type.String()))
})
export type AgUiMessage = Static<typeof AgUiMessage>

/** An address has room for so much; `.` and `..` would be another address. */
export const ThreadId = Type.String({ minLength: 1, maxLength: 100, pattern: '^(?!\\.{1,2}$)' })

const Context = Type.Object({ description: Type.String({ maxLength: 10_000 }), value: Type.String({ maxLength: 262_144 }) })

/** What `HttpAgent` of `@ag-ui/client` sends. What is not named here is passed over: `state`, `tools`, `forwardedProps`, `parentRunId`. */
export const RunAgentBody = Type.Object({
  threadId: ThreadId,
  runId: Type.String({ minLength: 1, maxLength: 200 }),
  messages: Type.Array(AgUiMessage, { maxItems: 2000 }),
  context: Type.Optional(Nullable(Type.Array(Context, { maxItems: 100 }))),
  resume: Type.Optional(Nullable(Type.Array(Type.Object({}), { maxItems: 0 }))),
  protocolVersion: Type.Optional(Type.String({ maxLength: 20 }))
})
export type RunAgentBody = Static<typeof RunAgentBody>

const Endpoints = Type.Object({ list: Type.Literal(false), inspect: Type.Literal(false), mutations: Type.Literal(false), realtimeMetadata: Type.Literal(false) })

/** What a page of CopilotKit asks its runtime first. */
export const RuntimeInfo = Type.Object({
  version: Type.String(),
  agents: Type.Object({}, { additionalProperties: Type.Object({ name: Type.String(), description: Type.String(), className: Type.String() }) }),
  mode: Type.Literal('sse'),
  audioFileTranscriptionEnabled: Type.Literal(false),
  threadEndpoints: Endpoints,
  suggestions: Type.Literal(false),
  a2uiEnabled: Type.Literal(false),
  openGenerativeUIEnabled: Type.Literal(false),
  telemetryDisabled: Type.Literal(true)
})

export const Stopped = Type.Object({ stopped: Type.Boolean(), message: Type.Optional(Type.String()) })
export type Stopped = Static<typeof Stopped>
