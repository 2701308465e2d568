import { type Static, Type } from '@sinclair/typebox'
import { Enum, ListedRun, Nullable, Run, Usage, Uuid } from '#shared/schemas.ts'

/** A run in a list as admins see it: with whose it is, and why it failed in the words of what failed. */
export const AdminRun = Type.Composite([ListedRun, Type.Object({ userId: Uuid, reason: Nullable(Type.String()) })])
export type AdminRun = Static<typeof AdminRun>

/** A finished step of a run: which model or tool ran, when, and what it used. */
export const RunStep = Type.Object({
  step: Type.Integer(),
  attempt: Type.Integer(),
  kind: Enum('model', 'tool'),
  name: Nullable(Type.String()),
  finishReason: Nullable(Type.String()),
  usage: Nullable(Usage),
  startedAt: Nullable(Type.String()),
  finishedAt: Type.String()
})
export type RunStep = Static<typeof RunStep>

/** A failure of the gateway, as admins see it. */
export const GatewayFailure = Type.Object({
  attempt: Type.Integer(),
  at: Type.String(),
  code: Type.String(),
  status: Type.Optional(Type.Integer()),
  reason: Type.Optional(Type.String()),
  cause: Type.Optional(Type.String()),
  model: Type.String()
})
export type GatewayFailure = Static<typeof GatewayFailure>

/** A run as admins inspect it. */
export const InspectedRun = Type.Composite([Run, Type.Object({
  userId: Uuid,
  model: Nullable(Type.String()),
  crashes: Type.Integer(),
  reason: Nullable(Type.String()),
  failures: Type.Array(GatewayFailure),
  steps: Type.Array(RunStep)
})])
export type InspectedRun = Static<typeof InspectedRun>

export const Credits = Type.Object({
  creditsRemaining: Type.Integer(),
  creditsReserved: Type.Integer(),
  creditsUsedThisMonth: Type.Integer(),
  planType: Type.String()
})
export type Credits = Static<typeof Credits>

export const GrantBody = Type.Object({
  credits: Type.Integer({ minimum: -1_000_000, maximum: 1_000_000 }),
  reason: Type.String({ minLength: 1, maxLength: 1000, pattern: '\\S' })
})

/** A user as admins see them. */
export const AdminUser = Type.Object({
  userId: Uuid,
  email: Nullable(Type.String()),
  createdAt: Nullable(Type.String()),
  isAdmin: Type.Boolean(),
  credits: Credits
})
export type AdminUser = Static<typeof AdminUser>

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

/** An agent whose owner asks for another backend than it has. */
export const RailwayUrlRequest = Type.Object({
  agentId: Uuid,
  agentName: Type.String(),
  userId: Uuid,
  railwayUrl: Nullable(Type.String()),
  requestedUrl: Type.String(),
  requestedAt: Type.String()
})
export type RailwayUrlRequest = Static<typeof RailwayUrlRequest>

export const RailwayUrlBody = Type.Object({ url: Type.String({ minLength: 1, maxLength: 2000 }), approve: Type.Boolean() })

/** The address of an agent's own backend; null means the platform's. */
export const AgentBackend = Type.Object({ agentId: Uuid, railwayUrl: Nullable(Type.String()) })
export type AgentBackend = Static<typeof AgentBackend>

export const Health = Type.Object({
  status: Type.Literal('healthy'),
  timestamp: Type.String(),
  service: Type.Literal('jeesi-railway-backend'),
  version: Type.String(),
  commit: Type.Optional(Type.String()),
  uptime: Type.Number()
})

const State = Enum('up', 'down', 'off')

export const Readiness = Type.Object({
  status: Enum('ready', 'not_ready'),
  database: State,
  redis: State,
  gateway: State,
  python: State,
  /** Who fires schedules. */
  schedules: Enum('service', 'platform', 'off'),
  draining: Type.Boolean(),
  /** Where an admin asked for it; null: the database could not be asked. */
  audit: Type.Optional(Nullable(Audit))
})
export type Readiness = Static<typeof Readiness>
