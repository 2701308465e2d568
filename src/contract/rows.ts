import { type Static, Type } from '@sinclair/typebox'
import { Enum, Nullable, Uuid } from '#shared/schemas.ts'

// Rows bear the names of their columns, as pages beside Supabase read and write them.

const Text = (maxLength: number) => Type.String({ maxLength })
const Name = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })
const Config = Type.Record(Type.String(), Type.Unknown())
const Id = Type.Optional(Uuid)

/** An agent to make, or, with an `id`, what changes of one. */
export const AgentBody = Type.Object({
  id: Id,
  name: Type.Optional(Name),
  description: Type.Optional(Nullable(Text(4000))),
  purpose: Type.Optional(Text(4000)),
  system_prompt: Type.Optional(Nullable(Text(200_000))),
  ai_model: Type.Optional(Nullable(Text(50))),
  temperature: Type.Optional(Nullable(Type.Number({ minimum: 0, maximum: 2 }))),
  max_tokens: Type.Optional(Nullable(Type.Integer({ minimum: 1, maximum: 1_000_000 }))),
  knowledge_base: Type.Optional(Type.Unknown()),
  is_published: Type.Optional(Type.Boolean()),
  is_heavy: Type.Optional(Type.Boolean()),
  executor: Type.Optional(Enum('model', 'python')),
  entrypoint: Type.Optional(Nullable(Text(500)))
}, { additionalProperties: false })

/** A function to make, or, with an `id`, what changes of one. */
export const FunctionBody = Type.Object({
  id: Id,
  agent_id: Id,
  name: Type.Optional(Name),
  description: Type.Optional(Nullable(Text(4000))),
  function_type: Type.Optional(Enum('api_call', 'conditional', 'data_transform', 'webhook', 'python', 'mcp')),
  trigger_keywords: Type.Optional(Type.Array(Text(200), { maxItems: 100 })),
  config: Type.Optional(Config),
  is_enabled: Type.Optional(Type.Boolean()),
  execution_order: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000 }))
}, { additionalProperties: false })

/** A schedule to make, or, with an `id`, what changes of one. */
export const ScheduleBody = Type.Object({
  id: Id,
  agent_id: Id,
  is_enabled: Type.Optional(Type.Boolean()),
  schedule_type: Type.Optional(Text(50)),
  cron_expression: Type.Optional(Text(200)),
  timezone: Type.Optional(Text(100)),
  prompt_template: Type.Optional(Text(100_000)),
  output_action: Type.Optional(Enum('store', 'webhook', 'api_call')),
  output_config: Type.Optional(Config)
}, { additionalProperties: false })

/** The tables whose rows a user may write. */
export type WritableTable = 'agents' | 'agent_functions' | 'agent_schedules'
export type RowTable = WritableTable | 'scheduled_runs'

/** A row: its columns depend on its table. */
export const Row = Type.Record(Type.String(), Type.Unknown())
export type Row = Static<typeof Row>

/** What makes a row, which needs more than a change. */
export const REQUIRED: Readonly<Record<WritableTable, readonly string[]>> = {
  agents: ['name'],
  agent_functions: ['agent_id', 'name', 'function_type'],
  agent_schedules: ['agent_id']
}

/** An entry of the ledger as the user sees it whose balance it changed; credits used below zero are such as were given. */
export const BalanceEntry = Type.Object({
  id: Uuid,
  runId: Nullable(Uuid),
  agentId: Nullable(Uuid),
  creditsUsed: Type.Integer(),
  operationType: Type.String(),
  createdAt: Nullable(Type.String())
})
export type BalanceEntry = Static<typeof BalanceEntry>

/** A user whom the embedded mode lets sign in without a password. */
export const DemoUser = Type.Object({ userId: Uuid, email: Nullable(Type.String()), isAdmin: Type.Boolean() })
export type DemoUser = Static<typeof DemoUser>

/** What the console has to know before anybody has signed in. */
export const ConsoleSettings = Type.Object({
  version: Type.String(),
  signIn: Enum('demo', 'supabase', 'token'),
  supabaseUrl: Nullable(Type.String()),
  supabaseKey: Nullable(Type.String()),
  users: Type.Array(DemoUser)
})
export type ConsoleSettings = Static<typeof ConsoleSettings>

export const DemoSessionBody = Type.Object({ userId: Uuid })

/** A session of a demo user; `expiresAt` is ISO 8601. */
export const DemoSession = Type.Object({ token: Type.String(), expiresAt: Type.String() })
export type DemoSession = Static<typeof DemoSession>

/** What was run on a day of UTC. */
const Day = Type.Object({ day: Type.String(), runs: Type.Integer(), failed: Type.Integer(), tokens: Type.Integer(), credits: Type.Integer() })
const BusyUser = Type.Object({ userId: Uuid, email: Nullable(Type.String()), running: Type.Integer(), waiting: Type.Integer() })

/** What was run a day, oldest first, and who has runs under way or waiting. */
export const AdminFigures = Type.Object({ days: Type.Array(Day), users: Type.Array(BusyUser) })
export type AdminFigures = Static<typeof AdminFigures>

/** What an admin did or looked at. */
export const AdminAction = Type.Object({
  id: Type.Integer(),
  adminId: Uuid,
  adminEmail: Nullable(Type.String()),
  action: Type.String(),
  userId: Nullable(Uuid),
  userEmail: Nullable(Type.String()),
  details: Type.Unknown(),
  createdAt: Type.String()
})
export type AdminAction = Static<typeof AdminAction>

export const HeavyBody = Type.Object({ heavy: Type.Boolean() })

/** Whether the edge function hands an agent to the service. */
export const HeavyAgent = Type.Object({ agentId: Uuid, isHeavy: Type.Boolean() })
export type HeavyAgent = Static<typeof HeavyAgent>
