import { type Static, Type } from '@sinclair/typebox'
import { Enum, Uuid } from '#shared/schemas.ts'

/** What a part holds depends on its type; most types are the answers' own, and are passed over in what is asked. */
const UiPart = Type.Object({
  type: Type.String({ maxLength: 200 }),
  text: Type.Optional(Type.String()),
  mediaType: Type.Optional(Type.String({ maxLength: 200 })),
  url: Type.Optional(Type.String())
})

/** A message of the AI SDK. Other properties of it are passed over. */
export const UiMessage = Type.Object({
  role: Enum('system', 'user', 'assistant'),
  parts: Type.Array(UiPart, { maxItems: 10_000 })
})
export type UiMessage = Static<typeof UiMessage>

/** An address has room for so much; `.` and `..` would be another address. */
const ChatId = Type.String({ minLength: 1, maxLength: 100, pattern: '^(?!\\.{1,2}$)' })

/** What the AI SDK's `useChat` sends, with the agent that the page names beside it. */
export const UiChatBody = Type.Object({
  id: Type.Optional(ChatId),
  agentId: Uuid,
  messages: Type.Array(UiMessage, { minItems: 1, maxItems: 2000 }),
  ui: Type.Optional(Type.Union([Type.Literal(5), Type.Literal(6), Type.Literal(7), Type.Literal('workflow')], { default: 5 }))
})
