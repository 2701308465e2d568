import { createHash, randomUUID } from 'node:crypto'
import type { ArgumentsOf, FunctionName, ResultOf } from '../../src/database/functions.js'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'
import { DEMO_AGENT, DEMO_KEY, DEMO_USER } from '../support/helper.js'

type OptionalKeys<T> = { [K in keyof T]-?: Record<never, never> extends Pick<T, K> ? K : never }[keyof T]

/** Arguments of a call, those that have a default in SQL apart; neither part lacks one. */
export interface Sample<F extends FunctionName> {
  required: string extends keyof ArgumentsOf<F> ? Record<never, never> : Omit<ArgumentsOf<F>, OptionalKeys<ArgumentsOf<F>>>
  optional: string extends keyof ArgumentsOf<F> ? Record<never, never> : Required<Pick<ArgumentsOf<F>, OptionalKeys<ArgumentsOf<F>>>>
}

/** For each function a call that does something, each time anew, on a database with the demo rows. */
export type Samples = { [F in FunctionName]: () => Promise<Sample<F>> | Sample<F> }

type UnknownArguments<S extends Samples> = {
  [F in FunctionName]: Exclude<keyof Awaited<ReturnType<S[F]>>['required'] | keyof Awaited<ReturnType<S[F]>>['optional'], keyof ArgumentsOf<F>>
}[FunctionName]

const OWNER = randomUUID()
const LEASE = { p_owner: OWNER, p_lease_seconds: 60 }
const ADMIN = { p_admin_id: DEMO_USER }
const AGENT = { userId: DEMO_USER, name: 'An agent', functions: [{ name: 'look', type: 'api_call', triggerKeywords: ['look'], config: { url: 'https://example.com' } }] }
const DUE = '2026-01-01T00:00:00.000Z'
const ERROR = { code: 'a_code', message: 'A sentence.' }
const FAILURE = { attempt: 1, at: DUE, code: 'gateway_unavailable', status: 503, reason: 'no', cause: 'ECONNREFUSED', model: 'a/model' }
const USAGE = { promptTokens: 1, completionTokens: 1, totalTokens: 2, estimated: false }
const LIMITS = { publishable: true, scopes: [], agentIds: [DEMO_AGENT], origins: ['https://example.com'], requestsPerDay: 9, creditsPerDay: 9 }
const RECORD = {
  p_step: { kind: 'model' as const, name: 'a/model', startedAt: DUE },
  p_record: { kind: 'model' as const, content: 'Hi', toolCalls: [], finishReason: 'tool_calls', model: 'a', askedFor: 'a/model', usage: USAGE }
}
const STEP = {
  required: { p_attempt: 1, p_number: 1, ...RECORD },
  optional: { p_credits: 1, p_told: { first: 1, events: [{ type: 'chunk' as const, content: 'Hi' }] } }
}
const END = {
  p_attempt: 1, p_status: 'succeeded' as const, p_response: 'Hi', p_finish_reason: 'stop', p_usage: USAGE, p_credits: 1, p_model: 'a/model', p_error: null
}

const CALLER = { kind: 'user' as const, userId: DEMO_USER, apiKeyId: null, visitor: null, mayRead: true }

export function createSamples (db: Database): Samples {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const begin = async (more: Partial<ArgumentsOf<'begin_run'>> = {}) => {
    const { run } = await db.call('begin_run', {
      p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_agent: { name: 'A' }, ...LEASE, ...more
    })
    return { p_run_id: run.runId }
  }
  /** A run whose agent the database knows, as input and result have it wholly. */
  const beginFully = (more: Partial<ArgumentsOf<'begin_run'>> = {}) => begin({ p_agent: null, ...more })
  const beginWaiting = () => beginFully({ p_owner: null, p_lease_seconds: 0, p_waiting: true })
  const endAll = () => sql('update public.agent_runs set finished_at = now(), status = \'failed\' where finished_at is null returning id')
  const askForBackend = () => sql(`update public.agents set railway_url_requested = 'https://agents.example.com' where id = '${DEMO_AGENT}' returning id`)
  const finish = async (run: { p_run_id: string }) => {
    await db.call('finish_run', { ...run, ...END, p_trace: [2, { type: 'step', step: 1 }] })
    return run.p_run_id
  }
  /** A run that nobody owns any more, with a step of its first attempt. */
  const leaveBehind = async () => {
    const run = await beginFully()
    await db.call('record_step', { ...run, ...STEP.required })
    await sql(`update public.agent_runs set lease_until = '-infinity' where id = '${run.p_run_id}' returning id`)
    return run
  }
  const addSchedule = async (columns: Record<string, string> = {}) => {
    const all = { user_id: `'${DEMO_USER}'`, agent_id: `'${DEMO_AGENT}'`, is_enabled: 'true', cron_expression: "'0 9 * * *'", prompt_template: "'Hello'" }
    const [added] = await sql<{ id: string }>(`insert into public.agent_schedules (${Object.keys(all).join(', ')}) values (${Object.values(all).join(', ')}) returning id`)
    for (const [name, value] of Object.entries(columns)) await sql(`update public.agent_schedules set ${name} = ${value} where id = '${added!.id}' returning id`)
    return added!.id
  }
  const addDue = () => addSchedule({ next_run_at: `'${DUE}'` })
  const fire = async (seconds: number) => (await db.call('fire_schedule', {
    p_schedule_id: await addDue(), p_due: DUE, p_for: DUE, p_next: '2099-01-01T00:00:00.000Z', p_content: 'Hello', p_lease_seconds: seconds
  }))!.id
  const addDelivery = async () => {
    const id = await fire(60)
    await sql(`update public.scheduled_runs set delivery_status = 'pending', delivery_at = now(), result = 'Hi', completed_at = now(), run_id = gen_random_uuid() where id = '${id}' returning id`)
    return id
  }
  const of = <R extends object, O extends object = Record<never, never>>(required: R, optional: O = {} as O) => ({ required, optional })
  const addAgent = () => db.call('admin_save_agent', { ...ADMIN, p_agent_id: null, p_values: AGENT })
  const addKey = () => db.call('create_api_key', {
    p_user_id: DEMO_USER, p_name: 'A key', p_key_hash: randomUUID(), p_key_prefix: 'jpk_', p_limits: LIMITS
  })
  const runOfKey = async () => {
    const key = { p_api_key_id: (await addKey()).id, p_visitor: 'a visitor' }
    return of({ p_user_id: DEMO_USER, ...await beginFully(key) }, key)
  }

  const RESPONSE = {
    p_previous_id: randomUUID(),
    p_input: [{ type: 'message' as const, role: 'user' as const, content: [{ type: 'input_text' as const, text: 'Hi' }] }],
    p_details: { instructions: null, metadata: {}, background: false, format: { type: 'text' as const } }
  }
  /** A response that a visitor of a key has begun. */
  const respond = async (previousId: string | null = null) => {
    const key = { p_api_key_id: (await addKey()).id, p_visitor: 'a visitor' }
    const run = await begin(key)
    await db.call('store_response', { p_user_id: DEMO_USER, ...run, ...RESPONSE, p_previous_id: previousId })
    return { run, key }
  }

  const samples = {
    store_response: async () => of({ p_user_id: DEMO_USER, ...await begin(), ...RESPONSE }),
    get_response: async () => {
      const { run, key } = await respond(randomUUID())
      return of({ p_user_id: DEMO_USER, ...run }, { ...key, p_with_input: true })
    },
    get_previous_responses: async () => {
      const { run, key } = await respond()
      await finish(run)
      return of({ p_user_id: DEMO_USER, ...run, p_limit: 10, p_max_bytes: 1000 }, key)
    },
    delete_response: async () => {
      const { run, key } = await respond()
      await finish(run)
      return of({ p_user_id: DEMO_USER, ...run }, key)
    },
    authenticate_api_key: async () => of({ p_key_hash: createHash('sha256').update(DEMO_KEY).digest('hex') }, { p_api_key_id: (await addKey()).id }),
    find_ended_callers: () => of({ p_callers: [{ userId: randomUUID(), apiKeyId: randomUUID(), sessionId: randomUUID() }] }),
    create_ticket: () => of({ p_hash: randomUUID(), p_caller: CALLER, p_seconds: 60 }, { p_run_id: randomUUID() }),
    use_ticket: async () => {
      const hash = randomUUID()
      await db.call('create_ticket', { p_hash: hash, p_caller: CALLER, p_seconds: 60 })
      return of({ p_hash: hash, p_run_id: randomUUID(), p_is_again: false })
    },
    list_models: async () => of({ p_user_id: DEMO_USER, p_api_key_id: null, p_limit: 10 }, { p_agent_id: DEMO_AGENT }),
    note_chat: async () => of({ p_user_id: DEMO_USER, ...await beginFully(), p_chat_id: 'chat', p_protocol: '5' }, { p_page_run: 'run', p_messages: [{ id: 'm1' }] }),
    note_chat_told: async () => of(await beginFully()),
    find_chat_run: async () => {
      const key = { p_api_key_id: (await addKey()).id, p_visitor: 'a visitor' }
      const run = await beginFully(key)
      await db.call('note_chat', { p_user_id: DEMO_USER, ...run, p_chat_id: 'chat', p_protocol: '5' })
      return of({ p_user_id: DEMO_USER, p_chat_id: 'chat' }, { ...key, p_unfinished: true })
    },
    get_chat_messages: async () => {
      const key = { p_api_key_id: (await addKey()).id, p_visitor: 'a visitor' }
      const run = await beginFully(key)
      await db.call('note_chat', { p_user_id: DEMO_USER, ...run, p_chat_id: 'chat', p_protocol: 'ag-ui', p_page_run: 'run', p_messages: [{ id: 'm1' }] })
      return of({ p_user_id: DEMO_USER, ...run, p_max_bytes: 1000 }, key)
    },
    get_agent: async () => of({ p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT }, { p_api_key_id: (await addKey()).id }),
    begin_run: async () => endAll().then(async () => of(
      { p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, ...LEASE },
      {
        p_idempotency_key: randomUUID(),
        p_agent: null,
        p_waiting: false,
        p_python: true,
        p_models: ['a/model'],
        p_api_key_id: (await addKey()).id,
        p_visitor: 'a visitor',
        p_run_id: randomUUID(),
        p_prompt_tokens: 1,
        p_inline_bytes: 65_536,
        p_max_per_user: 1000,
        p_room: 1,
        p_is_repeated: false,
        p_waited_ms: 1
      })),
    adopt_run: async () => of({ p_user_id: DEMO_USER, ...await beginWaiting(), ...LEASE }, {
      p_waiting: false, p_python: true, p_repeated: true, p_inline_bytes: 65_536, p_max_per_user: null, p_room: 1
    }),
    get_run: () => runOfKey(),
    async list_steps () {
      const sample = await runOfKey()
      await db.call('record_step', { p_run_id: sample.required.p_run_id, ...STEP.required })
      return sample
    },
    cancel_run: () => runOfKey(),
    drop_run: async () => of({ p_user_id: DEMO_USER, ...await beginWaiting(), p_error: ERROR }),
    finish_run: async () => of({ ...await beginWaiting().then(() => begin()), ...END }, { p_trace: [2], p_keep_messages: true }),
    note_failures: async () => of({ ...await begin(), p_attempt: 1, p_failures: [FAILURE] }),
    get_ended_runs: async () => of({ p_run_ids: [await finish(await begin())] }),
    async heartbeat_worker () {
      await db.call('cancel_run', { p_user_id: DEMO_USER, ...await begin() })
      return of(LEASE)
    },
    async get_owned_runs () {
      await begin()
      return of({ p_owner: OWNER })
    },
    async release_runs () {
      const { p_run_id: runId } = await begin()
      return of({ p_owner: OWNER }, { p_crashed: false, p_run_ids: [runId] })
    },
    list_runs: async () => of({ p_user_id: DEMO_USER, p_limit: 1 }, await pageOfRuns()),
    start_run: async () => of({ ...await begin({ p_waiting: true }), p_attempt: 1 }),
    get_run_input: async () => {
      const run = await beginFully()
      await db.call('record_step', { ...run, ...STEP.required })
      return of({ ...run, p_attempt: 1 })
    },
    record_step: async () => of({ ...await begin(), ...STEP.required }, STEP.optional),
    claim_run: async () => of({ ...await leaveBehind(), ...LEASE, p_max_per_user: 1000 }, { p_python: true, p_max_crashes: 20, p_keep_first: true, p_room: 1, p_inline_bytes: 65_536 }),
    claim_queued_runs: async () => of(
      { p_runs: [{ runId: (await leaveBehind()).p_run_id, keepFirst: true }], ...LEASE, p_max_per_user: 1000 },
      { p_python: true, p_max_crashes: 20, p_room: 1, p_inline_bytes: 65_536 }),
    async claim_runs () {
      await endAll()
      const { p_run_id: runId } = await leaveBehind()
      await sql(`update public.agent_runs set lease_until = now() - interval '1 hour' where id = '${runId}' returning id`)
      await sql('delete from public.agent_workers returning owner')
      return of({ ...LEASE, p_limit: 1 }, { p_python: true, p_max_crashes: 20, p_keep_first: true, p_lapsed: true, p_room: 1, p_inline_bytes: 65_536 })
    },
    rest_run: async () => of({ ...await begin(), p_reason: 'A reason' }, { p_max_crashes: 20 }),
    async list_waiting_runs () {
      await beginWaiting()
      return of({ p_limit: 1, p_queued: true })
    },
    async get_told_steps () {
      const run = await begin()
      await db.call('record_step', { ...run, ...STEP.required, ...STEP.optional })
      return of({ p_cursors: { [run.p_run_id]: 0 } })
    },
    async get_run_owners () {
      const { p_run_id: runId } = await begin()
      return of({ p_run_ids: [runId], p_fresh_seconds: 3 })
    },
    erase_by_periods: () => of({ p_days: 30, p_limit: 1 }, { p_after: 0 }),
    async erase_old_runs () {
      await sql(`update public.agent_runs set finished_at = now() - interval '9 days' where id = '${await finish(await begin())}' returning id`)
      return of({ p_days: 8, p_limit: 1 })
    },
    schema_version: () => of({}),
    get_credits: () => of({ p_user_id: DEMO_USER }),
    async audit_credits () {
      await sql(`update public.credit_balances set credits_remaining = credits_remaining + 1 where user_id = '${DEMO_USER}' returning id`)
      return of({}, { p_limit: 1 })
    },
    adjust_ledger: () => of({ p_reason: 'A reason' }),
    admin_stats: () => of({ p_user_id: DEMO_USER }),
    admin_list_runs: async () => of({ ...ADMIN, p_limit: 1 }, { p_user_id: DEMO_USER, ...await pageOfRuns() }),
    async admin_get_run () {
      const run = await beginFully()
      await db.call('record_step', { ...run, ...STEP.required })
      await db.call('note_failures', { ...run, p_attempt: 1, p_failures: [FAILURE] })
      return of({ ...ADMIN, ...run })
    },
    admin_open_run: async () => of({ ...ADMIN, ...await beginFully(), p_action: 'cancel' }),
    admin_list_users: async () => {
      const { next } = await db.call('admin_list_users', { ...ADMIN, p_limit: 1 })
      return of({ ...ADMIN, p_limit: 1 }, { p_email: '', p_after: next })
    },
    admin_get_ledger: async () => of({ ...ADMIN, p_user_id: DEMO_USER, p_limit: 1 }, { p_after: await newestEntry() }),
    admin_grant_credits: () => of({ ...ADMIN, p_user_id: DEMO_USER, p_credits: 1, p_reason: 'A reason' }, { p_idempotency_key: randomUUID() }),
    admin_list_railway_urls: async () => {
      await askForBackend()
      return of(ADMIN, { p_limit: 1 })
    },
    admin_settle_railway_url: async () => {
      await askForBackend()
      return of({ ...ADMIN, p_agent_id: DEMO_AGENT, p_url: 'https://agents.example.com', p_approve: false })
    },
    admin_list_agents: async () => {
      const { next } = await db.call('admin_list_agents', { ...ADMIN, p_limit: 1 })
      return of({ ...ADMIN, p_limit: 1 }, { p_user_id: DEMO_USER, p_published: true, p_name: '', p_after: next })
    },
    async admin_get_agent () {
      return of({ ...ADMIN, p_agent_id: (await addAgent()).agentId })
    },
    admin_save_agent: () => of({ ...ADMIN, p_agent_id: null, p_values: AGENT }),
    async admin_delete_agent () {
      return of({ ...ADMIN, p_agent_id: (await addAgent()).agentId })
    },
    async admin_erase_runs () {
      await finish(await begin())
      return of({ ...ADMIN, p_user_id: DEMO_USER, p_agent_id: null }, { p_days: 0, p_limit: 1 })
    },
    admin_create_user: () => of({ ...ADMIN, p_email: `${randomUUID()}@jeesi.local` }),
    admin_set_retention: () => of({ ...ADMIN, p_user_id: DEMO_USER, p_agent_id: null, p_days: 7 }),
    async admin_list_retention () {
      await db.call('admin_set_retention', { ...ADMIN, p_user_id: DEMO_USER, p_agent_id: null, p_days: 7 })
      return of({ ...ADMIN, p_limit: 1 }, { p_after: Number.MAX_SAFE_INTEGER })
    },
    async admin_watch_runs () {
      await begin()
      return of(ADMIN, { p_since: new Date(Date.now() - 10_000).toISOString(), p_limit: 100 })
    },
    list_rows: () => of({ p_user_id: DEMO_USER, p_table: 'agents' as const }, { p_agent_id: DEMO_AGENT }),
    save_row: () => of({ p_user_id: DEMO_USER, p_table: 'agents' as const, p_row: { name: 'A name', is_published: true } }),
    async delete_row () {
      const { row } = await db.call('save_row', { p_user_id: DEMO_USER, p_table: 'agents', p_row: { name: 'A name' } })
      return of({ p_user_id: DEMO_USER, p_table: 'agents' as const, p_id: String(row.id) })
    },
    list_demo_users: () => of({ p_limit: 10 }),
    get_ledger: async () => of({ p_user_id: DEMO_USER, p_limit: 1 }, { p_after: await newestEntry() }),
    admin_list_actions: () => of({ ...ADMIN, p_limit: 1 }, { p_after: 2 }),
    admin_figures: async () => {
      await beginFully()
      return of({ ...ADMIN, p_days: 2, p_limit: 1 })
    },
    admin_set_heavy: () => of({ ...ADMIN, p_agent_id: DEMO_AGENT, p_heavy: true }),
    admin_audit_credits: () => of(ADMIN, { p_limit: 1 }),
    admin_note_miss: () => of({ ...ADMIN, p_action: 'ledger', p_error: 'user_not_found' }, { p_user_id: randomUUID(), p_details: { after: null } }),
    async list_api_keys () {
      await addKey()
      return of({ p_user_id: DEMO_USER, p_limit: 500 })
    },
    create_api_key: () => of({ p_user_id: DEMO_USER, p_name: 'A key', p_key_hash: randomUUID(), p_key_prefix: 'jsk_', p_limits: LIMITS }),
    async revoke_api_key () {
      return of({ p_user_id: DEMO_USER, p_api_key_id: (await addKey()).id })
    },
    async list_schedules () {
      await addDue()
      await addSchedule()
      return of({ p_within_seconds: null, p_limit: 100 })
    },
    get_schedules: async () => of({ p_ids: [await addSchedule()] }),
    plan_schedule: async () => of({ p_schedule_id: await addSchedule(), p_cron: '0 9 * * *', p_timezone: await zone(), p_next: DUE }),
    fault_schedule: async () => of({ p_schedule_id: await addDue(), p_since: DUE, p_error: 'A reason.' }),
    fire_schedule: async () => of({ p_schedule_id: await addDue(), p_due: DUE, p_for: DUE, p_next: '2099-01-01T00:00:00.000Z', p_content: 'Hello', p_lease_seconds: 60 }),
    async claim_firings () {
      await fire(-60)
      return of({ p_lease_seconds: 60, p_limit: 1 })
    },
    postpone_firing: async () => of({ p_id: await fire(60), p_seconds: 1 }),
    fail_firing: async () => of({ p_id: await fire(60), p_error: 'A reason.' }, { p_refused: true }),
    async claim_deliveries () {
      await addDelivery()
      return of({ p_lease_seconds: 60, p_limit: 1 }, { p_sending: { [DEMO_USER]: 1 }, p_per_user: 5 })
    },
    record_delivery: async () => of({ p_id: await addDelivery(), p_tries: 0, p_status: 'failed' }, { p_error: 'A reason.', p_seconds: 1, p_result: { success: false, status: 503 } })
  } satisfies Samples
  // Fails to compile if a sample has an argument that the map lacks.
  const unknownArguments: never[] = [] as Array<UnknownArguments<typeof samples>>
  return unknownArguments.length === 0 ? samples : undefined as never

  /** The page after the newest run that succeeded. */
  async function pageOfRuns () {
    await finish(await begin())
    return { p_status: 'succeeded' as const, p_agent_id: DEMO_AGENT, p_after: await finish(await begin()) }
  }

  async function newestEntry (): Promise<string> {
    await db.call('admin_grant_credits', { ...ADMIN, p_user_id: DEMO_USER, p_credits: 1, p_reason: 'A reason' })
    await db.call('admin_grant_credits', { ...ADMIN, p_user_id: DEMO_USER, p_credits: 1, p_reason: 'A reason' })
    const { entries: [entry] }: ResultOf<'admin_get_ledger'> = await db.call('admin_get_ledger', { ...ADMIN, p_user_id: DEMO_USER, p_limit: 1 })
    return entry!.id
  }

  async function zone (): Promise<string | null> {
    const [row] = await sql<{ timezone: string | null }>('select timezone from public.agent_schedules limit 1')
    return row!.timezone
  }
}
