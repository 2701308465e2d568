import { type TSchema, Type } from '@sinclair/typebox'
import { Nullable, Run, RunEvent, Usage } from '#shared/schemas.ts'
import { AdminAgent, AdminFunction, DeletedAgent, ErasedRuns, InspectedAgent, ListedPeriod, MadeUser, RetentionPeriod } from '../../src/contract/agents.js'
import { ApiKey } from '../../src/contract/api-keys.js'
import { AdminAction, AdminFigures, DemoUser, HeavyAgent, Row } from '../../src/contract/rows.js'
import { AdminRun, AdminStats, AdminUser, AgentBackend, Audit, Credits, GatewayFailure, InspectedRun, LedgerEntry, RailwayUrlRequest, RunStep } from '../../src/contract/schemas.js'
import type { FunctionName, ResultOf } from '../../src/database/functions.js'

const Text = Type.String()
const AgentColumns = {
  name: Nullable(Text),
  systemPrompt: Nullable(Text),
  model: Nullable(Text),
  temperature: Nullable(Type.Number()),
  maxTokens: Nullable(Type.Integer()),
  knowledgeBase: Type.Unknown(),
  executor: Text
}
const Agent = Type.Object({
  ...AgentColumns,
  entrypoint: Nullable(Text),
  maxSteps: Nullable(Type.Integer()),
  functions: Type.Array(Type.Object({
    name: Text,
    description: Nullable(Text),
    type: Text,
    triggerKeywords: Type.Array(Text),
    config: Type.Record(Text, Type.Unknown())
  }))
})
const Rates = Type.Record(Text, Type.Object({ perRun: Type.Number(), perThousandTokens: Type.Number() }))
const Cached = Nullable(Type.Object({ response: Text, finishReason: Nullable(Text), model: Nullable(Text) }))
const Begun = Type.Object({ run: Run, joined: Type.Literal(false), agent: Agent, rates: Rates, cached: Cached, inputBytes: Type.Integer({ minimum: 1 }) })
const EmittedEvents = Type.Object({ first: Type.Integer(), events: Type.Array(RunEvent) })
const StoredStep = Type.Object({
  kind: Type.Literal('model'),
  step: Type.Integer(),
  content: Text,
  toolCalls: Type.Array(Type.Never()),
  finishReason: Nullable(Text),
  model: Text,
  askedFor: Text,
  usage: Usage,
  failed: Type.Optional(Type.Array(Type.Object({ askedFor: Text, usage: Usage, hasOutput: Type.Boolean() })))
})
const StoredInput = {
  input: Type.Object({ agent: Agent, messages: Type.Array(Type.Never()), rates: Rates, cached: Cached }),
  steps: Type.Array(StoredStep, { minItems: 1 })
}
const ClaimedRun = Type.Object({ run: Run, userId: Text, cancel: Type.Boolean(), ...StoredInput, inputBytes: Type.Integer({ minimum: 1 }) })
const FoundApiKey = Type.Union([
  Type.Object({
    userId: Text, apiKeyId: Text, isPublishable: Type.Boolean(), scopes: Type.Array(Text), origins: Nullable(Type.Array(Text)), visitorSecret: Nullable(Text)
  }),
  Type.Object({ userId: Type.Null(), apiKeyId: Type.Null(), isPublishable: Type.Null(), scopes: Type.Null(), origins: Type.Null(), visitorSecret: Type.Null() })
])
const RunPage = <T extends TSchema>(run: T) => Type.Object({ runs: Type.Array(run, { minItems: 1 }), next: Nullable(Text) })
const Timing = { id: Text, cron: Nullable(Text), timezone: Nullable(Text) }
const OutputPlace = { action: Nullable(Text), config: Type.Unknown() }
const Firing = Type.Object({ id: Text, scheduleId: Text, userId: Text, agentId: Text, content: Text, startedAt: Text, now: Text })

const StoredItem = Type.Object({
  type: Type.Literal('message'),
  role: Type.Literal('user'),
  content: Type.Array(Type.Object({ type: Type.Literal('input_text'), text: Text }), { minItems: 1 })
})
const KeptResponse = {
  previousId: Nullable(Text),
  details: Type.Object({
    instructions: Nullable(Text), metadata: Type.Object({}), background: Type.Boolean(), format: Type.Object({ type: Type.Literal('text') })
  })
}

/** What each function returned is held to one of these, in which every key is named; the types are held to the map's. */
export const RESULTS: { [F in FunctionName]: TSchema & { static: ResultOf<F> } } = {
  authenticate_api_key: FoundApiKey,
  find_ended_callers: Type.Array(Type.Integer()),
  create_ticket: Type.Object({ expiresAt: Text }),
  use_ticket: Type.Object({ kind: Type.Union([Type.Literal('user'), Type.Literal('api_key'), Type.Literal('visitor')]), userId: Text, apiKeyId: Nullable(Text), visitor: Nullable(Text), mayRead: Type.Boolean() }),
  store_response: Type.Object(KeptResponse),
  get_response: Type.Object({ ...KeptResponse, input: Nullable(Type.Array(StoredItem, { minItems: 1 })) }),
  get_previous_responses: Type.Object({ responses: Type.Array(Type.Object({ runId: Text, input: Type.Array(StoredItem), response: Text }), { minItems: 1 }) }),
  delete_response: Type.Object({ deleted: Type.Literal(true) }),
  list_models: Type.Object({ models: Type.Array(Type.Object({ id: Text, name: Text, description: Nullable(Text), createdAt: Text }), { minItems: 1 }) }),
  note_chat: Type.Object({ noted: Type.Literal(true) }),
  note_chat_told: Type.Object({ noted: Type.Literal(true) }),
  find_chat_run: Type.Object({ run: Run, protocol: Nullable(Text), told: Nullable(Type.Boolean()), pageRun: Nullable(Text) }),
  get_chat_messages: Type.Object({ bytes: Type.Integer(), messages: Nullable(Type.Array(Type.Unknown())) }),
  get_agent: Type.Object({ ...AgentColumns, agentId: Text, isHeavy: Type.Boolean(), hasFunctions: Type.Boolean(), needsService: Type.Boolean(), requiresService: Type.Boolean(), railwayUrl: Nullable(Text), railwayUrlWaits: Type.Boolean() }),
  begin_run: Begun,
  adopt_run: Begun,
  get_run: Run,
  list_steps: Type.Object({ steps: Type.Array(RunStep, { minItems: 1 }) }),
  cancel_run: Run,
  drop_run: Run,
  finish_run: Type.Object({ ...Run.properties, userWaits: Type.Optional(Type.Literal(true)) }),
  note_failures: Type.Object({ noted: Type.Literal(true) }),
  get_ended_runs: Type.Array(Type.Object({ run: Run, trace: Nullable(Type.Array(Type.Union([Type.Integer(), RunEvent]))) }), { minItems: 1 }),
  heartbeat_worker: Type.Object({ lapsed: Type.Boolean(), owned: Type.Integer(), cancel: Type.Array(Text, { minItems: 1 }) }),
  get_owned_runs: Type.Record(Text, Type.Integer(), { minProperties: 1 }),
  release_runs: Type.Object({ released: Type.Integer({ minimum: 1 }) }),
  list_runs: RunPage(Type.Omit(AdminRun, ['reason'])),
  start_run: Run,
  get_run_input: Type.Object(StoredInput),
  record_step: Type.Object({ reserved: Type.Integer(), isEnough: Type.Boolean() }),
  claim_run: Type.Object({ claimed: ClaimedRun }),
  claim_queued_runs: Type.Record(Text, Type.Object({ claimed: ClaimedRun }), { minProperties: 1 }),
  claim_runs: Type.Object({ claimed: Type.Array(ClaimedRun, { minItems: 1 }), outstanding: Type.Boolean(), others: Type.Boolean() }),
  rest_run: Type.Object({ ended: Type.Boolean() }),
  list_waiting_runs: Type.Object({ runs: Type.Array(Type.Object({ runId: Text, userId: Text }), { minItems: 1 }), outstanding: Type.Boolean() }),
  get_told_steps: Type.Array(Type.Object({ runId: Text, attempt: Type.Integer(), told: Type.Array(EmittedEvents, { minItems: 1 }) }), { minItems: 1 }),
  get_run_owners: Type.Array(Type.Object({ runId: Text, owner: Type.Union([Text, Type.Null()]), hasEnded: Type.Boolean() }), { minItems: 1 }),
  erase_by_periods: Type.Object({ next: Nullable(Type.Integer()), more: Type.Boolean() }),
  erase_old_runs: Type.Object({ erased: Type.Integer({ minimum: 1 }) }),
  schema_version: Type.Object({ version: Type.Integer(), oldest: Type.Integer(), writable: Type.Boolean(), now: Text }),
  get_credits: Credits,
  audit_credits: Audit,
  adjust_ledger: Type.Object({ adjusted: Type.Integer() }),
  admin_stats: AdminStats,
  admin_list_runs: RunPage(AdminRun),
  admin_get_run: Type.Composite([InspectedRun, Type.Object({ failures: Type.Array(GatewayFailure, { minItems: 1 }), steps: Type.Array(RunStep, { minItems: 1 }) })]),
  admin_open_run: Type.Object({ userId: Text }),
  admin_list_users: Type.Object({ users: Type.Array(AdminUser, { minItems: 1 }), next: Nullable(Text) }),
  admin_get_ledger: Type.Object({ credits: Credits, entries: Type.Array(LedgerEntry, { minItems: 1 }), next: Nullable(Text) }),
  admin_grant_credits: Credits,
  admin_list_railway_urls: Type.Object({ requests: Type.Array(RailwayUrlRequest), total: Type.Integer() }),
  admin_settle_railway_url: AgentBackend,
  admin_list_agents: Type.Object({ agents: Type.Array(AdminAgent, { minItems: 1 }), next: Nullable(Text) }),
  admin_get_agent: Type.Composite([InspectedAgent, Type.Object({ functions: Type.Array(AdminFunction, { minItems: 1 }) })]),
  admin_save_agent: InspectedAgent,
  admin_delete_agent: DeletedAgent,
  admin_erase_runs: ErasedRuns,
  admin_create_user: MadeUser,
  admin_set_retention: RetentionPeriod,
  admin_list_retention: Type.Object({ periods: Type.Array(ListedPeriod, { minItems: 1 }), next: Nullable(Type.Integer()) }),
  admin_watch_runs: Type.Object({ runs: Type.Array(AdminRun), until: Text }),
  list_rows: Type.Object({ rows: Type.Array(Row, { minItems: 1 }) }),
  save_row: Type.Object({ row: Row }),
  delete_row: Type.Object({ deleted: Type.Literal(true) }),
  list_demo_users: Type.Object({ users: Type.Array(DemoUser, { minItems: 1 }) }),
  get_ledger: Type.Object({ credits: Credits, entries: Type.Array(LedgerEntry, { minItems: 1 }), next: Nullable(Text) }),
  admin_list_actions: Type.Object({ actions: Type.Array(AdminAction, { minItems: 1 }), next: Nullable(Type.Integer()) }),
  admin_figures: AdminFigures,
  admin_set_heavy: HeavyAgent,
  admin_audit_credits: Audit,
  admin_note_miss: Type.Object({ noted: Type.Literal(true) }),
  list_api_keys: Type.Object({ keys: Type.Array(ApiKey, { minItems: 1 }) }),
  create_api_key: ApiKey,
  revoke_api_key: ApiKey,
  list_schedules: Type.Object({
    now: Text,
    timed: Type.Array(Type.Object({ ...Timing, nextRunAt: Text, turn: Type.Integer() }), { minItems: 1 }),
    unplanned: Type.Array(Text, { minItems: 1 }),
    isScheduled: Type.Literal(true),
    leftAt: Nullable(Text)
  }),
  get_schedules: Type.Object({
    now: Text,
    schedules: Type.Array(Type.Object({
      ...Timing,
      ...OutputPlace,
      userId: Nullable(Text),
      agentId: Nullable(Text),
      prompt: Nullable(Text),
      isTooLarge: Type.Boolean(),
      nextRunAt: Nullable(Text),
      unplannedSince: Nullable(Text)
    }), { minItems: 1 }),
    left: Type.Array(Type.Never())
  }),
  plan_schedule: Type.Object({ planned: Type.Literal(true) }),
  fault_schedule: Type.Object({ told: Type.Literal(true) }),
  fire_schedule: Firing,
  claim_firings: Type.Array(Firing, { minItems: 1 }),
  postpone_firing: Type.Object({ postponed: Type.Literal(true) }),
  fail_firing: Type.Object({ failed: Type.Literal(true) }),
  claim_deliveries: Type.Array(Type.Object({
    ...OutputPlace,
    id: Text,
    scheduleId: Text,
    runId: Text,
    agentId: Text,
    agentName: Nullable(Text),
    userId: Text,
    tries: Type.Integer(),
    result: Text,
    scheduledFor: Text,
    completedAt: Text,
    prompt: Nullable(Text),
    timezone: Nullable(Text)
  }), { minItems: 1 }),
  record_delivery: Type.Object({ recorded: Type.Literal(true) })
}
