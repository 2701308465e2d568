import { type Static, type TObject, Type } from '@sinclair/typebox'
import { Enum, Nullable, Uuid } from '#shared/schemas.ts'

const Name = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })
const Scopes = Type.Array(Enum('read'), { maxItems: 1 })
const PerDay = Type.Integer({ minimum: 0, maximum: 1_000_000 })

/** What a key may; null and empty lists mean no limit. */
const limits = {
  publishable: Type.Boolean(),
  scopes: Scopes,
  agentIds: Type.Array(Uuid),
  origins: Type.Array(Type.String()),
  requestsPerDay: Nullable(Type.Integer()),
  creditsPerDay: Nullable(Type.Integer())
}
export type KeyLimits = Static<TObject<typeof limits>>

/** An API key as its owner sees it, without the key. */
export const ApiKey = Type.Object({
  id: Uuid,
  name: Type.String(),
  prefix: Type.String(),
  ...limits,
  isActive: Type.Boolean(),
  lastUsedAt: Nullable(Type.String()),
  createdAt: Nullable(Type.String())
})
export type ApiKey = Static<typeof ApiKey>

/** What stands in an address once, in the place of a token. `expiresAt` is ISO 8601. */
export const Ticket = Type.Object({ ticket: Type.String(), expiresAt: Type.String() })
export type Ticket = Static<typeof Ticket>

export const TicketBody = Type.Object({ runId: Type.Optional(Nullable(Uuid)) })

/** The answer that has the key itself, once. */
export const CreatedApiKey = Type.Composite([ApiKey, Type.Object({ key: Type.String() })])
export type CreatedApiKey = Static<typeof CreatedApiKey>

/** Other properties are refused: a limit that is misspelt would be none. */
export const KeyBody = Type.Object({
  name: Name,
  publishable: Type.Optional(Type.Boolean({ default: false })),
  scopes: Type.Optional(Scopes),
  agentIds: Type.Optional(Type.Array(Uuid, { maxItems: 100 })),
  origins: Type.Optional(Type.Array(Type.String({ maxLength: 300 }), { maxItems: 100 })),
  requestsPerDay: Type.Optional(Nullable(PerDay)),
  creditsPerDay: Type.Optional(Nullable(PerDay))
}, { additionalProperties: false })
export type KeyBody = Static<typeof KeyBody>

export const Visitor = Type.Object({ token: Type.String(), visitorId: Type.String(), expiresAt: Type.String() })
