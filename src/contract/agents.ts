import { type Static, Type } from '@sinclair/typebox'
import { Nullable, Uuid } from '#shared/schemas.ts'

const Text = (maxLength: number, minLength?: number) => Type.String({ ...minLength && { minLength }, maxLength })

/** What an agent can do besides talking, as its author writes it. */
export const FunctionValues = Type.Object({
  name: Text(200, 1),
  description: Type.Optional(Nullable(Text(4000))),
  type: Text(50, 1),
  triggerKeywords: Type.Optional(Type.Array(Text(200), { maxItems: 100 })),
  config: Type.Optional(Type.Object({}, { additionalProperties: true })),
  isEnabled: Type.Optional(Type.Boolean())
}, { additionalProperties: false })

const values = {
  description: Type.Optional(Nullable(Text(10_000))),
  systemPrompt: Type.Optional(Nullable(Text(200_000))),
  model: Type.Optional(Nullable(Text(50, 1))),
  temperature: Type.Optional(Nullable(Type.Number({ minimum: 0, maximum: 2 }))),
  maxTokens: Type.Optional(Nullable(Type.Integer({ minimum: 1, maximum: 1_000_000 }))),
  maxSteps: Type.Optional(Nullable(Type.Integer({ minimum: 1, maximum: 100 }))),
  executor: Type.Optional(Type.Union([Type.Literal('model'), Type.Literal('python')])),
  entrypoint: Type.Optional(Nullable(Type.String({ maxLength: 200, pattern: '^[\\w.]+:\\w+$' }))),
  isPublished: Type.Optional(Type.Boolean()),
  isHeavy: Type.Optional(Type.Boolean()),
  functions: Type.Optional(Type.Array(FunctionValues, { maxItems: 100 }))
}

/** What can be written of an agent. What is missing stays as it is. */
export const AgentEditBody = Type.Object({ name: Type.Optional(Type.String({ minLength: 1, maxLength: 1000, pattern: '\\S' })), ...values }, { additionalProperties: false, minProperties: 1 })
export type AgentValues = Static<typeof AgentEditBody>

/** A new agent, and whose it is. */
export const NewAgentBody = Type.Object({ userId: Uuid, name: Type.String({ minLength: 1, maxLength: 1000, pattern: '\\S' }), ...values }, { additionalProperties: false })
export type NewAgentBody = Static<typeof NewAgentBody>

/** An agent as admins list it. */
export const AdminAgent = Type.Object({
  agentId: Uuid,
  userId: Uuid,
  email: Nullable(Type.String()),
  name: Type.String(),
  description: Nullable(Type.String()),
  model: Nullable(Type.String()),
  temperature: Nullable(Type.Number()),
  maxTokens: Nullable(Type.Integer()),
  maxSteps: Nullable(Type.Integer()),
  executor: Type.String(),
  entrypoint: Nullable(Type.String()),
  isPublished: Type.Boolean(),
  isHeavy: Type.Boolean(),
  railwayUrl: Nullable(Type.String()),
  createdAt: Nullable(Type.String()),
  updatedAt: Nullable(Type.String())
})
export type AdminAgent = Static<typeof AdminAgent>

/** A function of an agent, as it is stored. */
export const AdminFunction = Type.Object({
  functionId: Uuid,
  name: Type.String(),
  description: Nullable(Type.String()),
  type: Type.String(),
  triggerKeywords: Type.Array(Type.String()),
  config: Type.Unknown(),
  isEnabled: Type.Boolean()
})

/** An agent with its prompt, and its functions in the order in which they run. */
export const InspectedAgent = Type.Composite([AdminAgent, Type.Object({
  systemPrompt: Nullable(Type.String()),
  functions: Type.Array(AdminFunction)
})])
export type InspectedAgent = Static<typeof InspectedAgent>

export const DeletedAgent = Type.Object({ agentId: Uuid, deleted: Type.Literal(true) })
export type DeletedAgent = Static<typeof DeletedAgent>

/** Which runs' texts are erased: of those that ended so many days ago. */
export const EraseBody = Type.Object({ olderThanDays: Type.Number({ minimum: 0, maximum: 36_500 }) })

/** A user to make where there is no Supabase Auth. */
export const NewUserBody = Type.Object({ email: Type.String({ minLength: 3, maxLength: 320 }) })

export const MadeUser = Type.Object({ userId: Uuid, email: Type.String() })
export type MadeUser = Static<typeof MadeUser>

/** For how many days after their end the texts of runs are kept; null: as long as those of all. */
export const RetentionBody = Type.Object({ days: Nullable(Type.Number({ minimum: 0, maximum: 36_500 })) })

/** The period of a user or of an agent. */
export const RetentionPeriod = Type.Object({ userId: Nullable(Uuid), agentId: Nullable(Uuid), days: Nullable(Type.Number()) })
export type RetentionPeriod = Static<typeof RetentionPeriod>

export const ListedPeriod = Type.Object({
  id: Type.Integer(),
  userId: Nullable(Uuid),
  userEmail: Nullable(Type.String()),
  agentId: Nullable(Uuid),
  agentName: Nullable(Type.String()),
  days: Type.Number(),
  updatedAt: Type.String()
})
export type ListedPeriod = Static<typeof ListedPeriod>

/** How many runs and firings were erased, and whether there may be more of them. */
export const ErasedRuns = Type.Object({ erased: Type.Integer(), firings: Type.Integer(), more: Type.Boolean() })
export type ErasedRuns = Static<typeof ErasedRuns>
