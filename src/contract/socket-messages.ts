import { type Static, Type } from '@sinclair/typebox'
import { IdempotencyKey, KnownEventsText, Messages, Uuid } from '#shared/schemas.ts'

const RequestId = Type.Optional(Type.String({ maxLength: 200 }))

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
    events: KnownEventsText
  })
}

export type ResumeMessage = Static<typeof SocketMessages.resume>
export type CancelMessage = Static<typeof SocketMessages.cancel>
export type ExecuteMessage = Static<typeof SocketMessages.agent_execute>
