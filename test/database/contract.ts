import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import type { Test } from 'tap'
import type { Run } from '#shared/schemas.ts'
import type { ResultOf } from '../../src/database/functions.js'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'
import { DEMO_AGENT, DEMO_USER, OTHER_USER, PYTHON_AGENT, UNPUBLISHED_AGENT } from '../support/helper.js'
import { testBegins } from './begins-contract.js'
import { testChats } from './chats-contract.js'
import { testKeys } from './keys-contract.js'
import { testLedger } from './ledger-contract.js'
import { testLimits } from './limits-contract.js'
import { testReplicas } from './replicas-contract.js'
import { testSlots } from './slots-contract.js'
import { testSteps } from './steps-contract.js'

/** What the suite adds to a migrated database, so that it can look at tables, and at values, through the port itself. */
export const TEST_FUNCTIONS = `
  create function public.test_sql(p_sql text) returns jsonb language plpgsql security definer as $$
  declare v_rows jsonb;
  begin
    execute format('with x as (%s) select coalesce(jsonb_agg(x), ''[]'') from x', p_sql) into v_rows;
    return v_rows;
  end $$;
  create function public.test_echo(p_text text default 'unset', p_json jsonb default '"unset"') returns jsonb
    language sql as $$ select jsonb_build_object('text', p_text, 'json', p_json, 'isNull', p_json is null) $$;`

const DEMO_KEY_HASH = '8f7aa60aebb30ce3d7db97400e7eb1a4dd1db9fc14d06d0af03c24279e5cf4e4'
const OWNER = randomUUID()
const USAGE = { promptTokens: 3, completionTokens: 2, totalTokens: 5, estimated: false }

/** What every driver of the port has to do, on a database with the demo rows and TEST_FUNCTIONS. */
export async function testDatabase (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const begin = (userId: string, more: object = {}) =>
    db.call('begin_run', {
      p_user_id: userId,
      p_agent_id: DEMO_AGENT,
      p_request_hash: 'hash',
      p_input: { messages: [] },
      p_owner: OWNER,
      p_lease_seconds: 60,
      ...more
    })
  const finish = ({ runId, attempt }: Pick<Run, 'runId' | 'attempt'>, more: object = {}) => db.call('finish_run', {
    p_run_id: runId,
    p_attempt: attempt,
    p_status: 'succeeded',
    p_response: 'Hello',
    p_finish_reason: 'stop',
    p_usage: USAGE,
    p_credits: 1,
    p_model: 'test/model',
    p_error: null,
    ...more
  })
  const balance = (userId: string) => db.call('get_credits', { p_user_id: userId })
  const deduct = (userId: string, credits: number | null) =>
    sql(`select 'deducted' as void from public.deduct_credits('${userId}', ${credits})`)
  const ledger = (userId: string) => sql<{ credits_used: number, run_id: string, agent_id: string, metadata: object }>(
    `select credits_used, run_id, agent_id, operation_type, metadata from public.credit_usage where user_id = '${userId}'`)
  async function createUser (credits: number): Promise<string> {
    const id = randomUUID()
    await sql(`insert into auth.users (id) values ('${id}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${id}', ${credits}, 'demo') returning id`)
    return id
  }
  const insufficient = { name: 'Error', code: 'insufficient_credits', statusCode: 402, message: /^There are not enough credits \(needed: \d+, left: \d+\)\.$/ }

  t.test('schema_version says what stands there, what it serves, and that it can be written to', async t => {
    t.match(await db.call('schema_version'), { version: 5, oldest: 4, writable: true, now: /^\d{4}-.+Z$/ })
  })

  t.test('begin_run returns the run and the agent\'s configuration, and reserves one credit', async t => {
    const user = await createUser(2)
    const { run, agent, joined } = await begin(user)
    t.match(run, { runId: String, agentId: DEMO_AGENT, status: 'running', attempt: 1, createdAt: String, startedAt: String })
    t.match(run, { response: '', finishReason: null, usage: null, creditsReserved: 1, creditsCharged: 0, error: null, finishedAt: null })
    t.equal(new Date(run.createdAt).toISOString(), run.createdAt)
    t.match(agent, { name: 'Demo agent', systemPrompt: /demo agent/, model: null, temperature: null, knowledgeBase: null, executor: 'model' })
    t.equal(joined, false)
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 1, creditsUsedThisMonth: 0, planType: 'demo' })
  })

  t.test('begin_run sees published agents and one\'s own; others, and those that are not there, are not found', async t => {
    const notFound = { code: 'agent_not_found', statusCode: 404, message: 'There is no such agent.' }
    t.match((await begin(DEMO_USER, { p_agent_id: UNPUBLISHED_AGENT })).agent, { name: 'Unpublished agent' })
    const before = await balance(OTHER_USER)
    await t.rejects(begin(OTHER_USER, { p_agent_id: UNPUBLISHED_AGENT }), notFound)
    await t.rejects(begin(OTHER_USER, { p_agent_id: randomUUID() }), notFound)
    t.same(await balance(OTHER_USER), before, 'and nothing is reserved')
  })

  t.test('begin_run is refused to a user without credits, and to who is no user', async t => {
    await t.rejects(begin(await createUser(0)), { ...insufficient, message: /\(needed: 1, left: 0\)/ })
    await t.rejects(begin(randomUUID()), insufficient, 'of whom nobody knows')
  })

  t.test('begin_run takes a Python agent only where the caller can run one', async t => {
    const user = await createUser(1)
    const python = { p_agent_id: PYTHON_AGENT }
    await t.rejects(begin(user, python), { code: 'python_unavailable', statusCode: 503 })
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 0 })
    t.match((await begin(user, { ...python, p_python: true })).agent, { executor: 'python' })
  })

  t.test('begin_run joins the run of the same key and request, and refuses the key for another request', async t => {
    const user = await createUser(5)
    const key = { p_idempotency_key: 'once' }
    const first = await begin(user, key)
    const again = await Promise.all([begin(user, key), begin(user, key)])
    for (const { run, joined, agent } of again) t.match({ run, joined, agent }, { run: first.run, joined: true, agent: null })
    await t.rejects(begin(user, { ...key, p_request_hash: 'another' }), { code: 'idempotency_key_reused', statusCode: 422 })
    t.match(await balance(user), { creditsRemaining: 4, creditsReserved: 1 })
    t.equal((await begin(await createUser(1), key)).joined, false, 'another user\'s key is another key')
    const race = await Promise.all(Array.from({ length: 10 }, () => begin(user, { p_idempotency_key: 'race' })))
    t.equal(race.filter(({ joined }) => !joined).length, 1, 'of first requests at once one begins the run')
    t.equal(new Set(race.map(({ run }) => run.runId)).size, 1)
  })

  t.test('a run that begins without a slot is queued until start_run, which only its attempt may call', async t => {
    const { run } = await begin(DEMO_USER, { p_waiting: true })
    t.match(run, { status: 'queued', startedAt: null })
    const stale = { code: 'stale_attempt', statusCode: 409 }
    await t.rejects(db.call('start_run', { p_run_id: run.runId, p_attempt: 2 }), stale)
    const started = await db.call('start_run', { p_run_id: run.runId, p_attempt: 1 })
    t.match(started, { runId: run.runId, status: 'running', startedAt: String })
    t.same(await db.call('start_run', { p_run_id: run.runId, p_attempt: 1 }), started, 'repeated, it answers the same')
    await finish(run)
    await t.rejects(db.call('start_run', { p_run_id: run.runId, p_attempt: 1 }), stale)
  })

  t.test('a run whose agent the caller vouches for is never charged, whatever finish_run is told', async t => {
    const user = await createUser(0)
    const vouched = { name: 'Theirs', systemPrompt: 'Be kind', knowledgeBase: ['a', { content: 'b' }] }
    const { run, agent } = await begin(user, { p_agent_id: randomUUID(), p_agent: vouched })
    t.same(agent, vouched)
    t.equal(run.creditsReserved, 0)
    t.match(await finish(run, { p_credits: 5 }), { status: 'succeeded', creditsCharged: 0 })
    t.same(await ledger(user), [])
  })

  t.test('finish_run settles once: the reservation, the ledger, the run; repeated, it answers the same', async t => {
    const user = await createUser(3)
    const { run } = await begin(user)
    const settled = await finish(run)
    t.match(settled, { runId: run.runId, status: 'succeeded', response: 'Hello', finishReason: 'stop', usage: USAGE })
    t.match(settled, { creditsReserved: 0, creditsCharged: 1, error: null, finishedAt: String })
    const another = { p_status: 'failed', p_response: 'other', p_credits: 0, p_error: { code: 'x', message: 'y' } }
    t.same(await Promise.all([finish(run), finish(run, another)]), [settled, settled])
    t.same(await balance(user), { creditsRemaining: 2, creditsReserved: 0, creditsUsedThisMonth: 1, planType: 'demo' })
    const metadata = { model: 'test/model', status: 'succeeded', usage: USAGE }
    t.same(await ledger(user), [{ credits_used: 1, run_id: run.runId, agent_id: DEMO_AGENT, operation_type: 'agent_execution', metadata }])
    t.same(await db.call('get_run', { p_user_id: user, p_run_id: run.runId }), settled)
  })

  t.test('finish_run gives the credit back where nothing is charged, and charges more than was reserved as far as the balance goes', async t => {
    const user = await createUser(4)
    const error = { code: 'gateway_unavailable', message: 'It broke: "ä" \\ 😀' }
    const failed = await finish((await begin(user)).run, { p_status: 'failed', p_credits: 0, p_error: error, p_usage: null, p_model: null })
    t.match(failed, { status: 'failed', creditsCharged: 0, error, usage: null })
    t.match(await balance(user), { creditsRemaining: 4, creditsReserved: 0 })
    t.equal((await finish((await begin(user)).run, { p_credits: 2 })).creditsCharged, 2)
    t.equal((await finish((await begin(user)).run, { p_credits: -9 })).creditsCharged, 0)
    t.equal((await finish((await begin(user)).run, { p_credits: 9 })).creditsCharged, 2)
    t.match(await balance(user), { creditsRemaining: 0, creditsReserved: 0, creditsUsedThisMonth: 4 })
  })

  t.test('finish_run refuses an attempt that is no longer the run\'s, and a run that is not there', async t => {
    const user = await createUser(1)
    const { run } = await begin(user)
    await t.rejects(finish({ ...run, attempt: 2 }), { code: 'stale_attempt', statusCode: 409, message: /taken this run over/ })
    t.match(await balance(user), { creditsRemaining: 0, creditsReserved: 1 })
    await t.rejects(finish({ runId: randomUUID(), attempt: 1 }), { code: 'run_not_found', statusCode: 404 })
  })

  t.test('get_run shows a user their own runs only', async t => {
    const { run } = await begin(DEMO_USER)
    t.same(await db.call('get_run', { p_user_id: DEMO_USER, p_run_id: run.runId }), run)
    const notFound = { code: 'run_not_found', statusCode: 404, message: 'There is no such run.' }
    await t.rejects(db.call('get_run', { p_user_id: OTHER_USER, p_run_id: run.runId }), notFound)
  })

  t.test('list_runs pages through a user\'s runs, newest first, each once, even those of one microsecond', async t => {
    const user = await createUser(7)
    const runs: Run[] = []
    for (let minute = 0; minute < 7; minute++) {
      const { run } = await begin(user)
      await sql(`update public.agent_runs set created_at = '2026-01-01 10:0${Math.max(2, minute)}:00.123456' where id = '${run.runId}' returning id`)
      runs.push(run)
    }
    await finish(runs[3]!)
    const list = (more: object) => db.call('list_runs', { p_user_id: user, p_limit: 2, ...more })
    const seen: string[] = []
    let after = {}
    for (const size of [2, 2, 2, 1]) {
      const page: ResultOf<'list_runs'> = await list(after)
      t.equal(page.runs.length, size)
      seen.push(...page.runs.map(({ runId }) => runId))
      t.equal(page.next === null, seen.length === 7)
      after = { p_after: page.next }
    }
    t.same(seen.slice(0, 4), runs.slice(3).reverse().map(({ runId }) => runId))
    t.same(seen.toSorted(), runs.map(({ runId }) => runId).toSorted())
    t.match(await list({ p_status: 'succeeded' }), { runs: [{ runId: runs[3]!.runId }], next: null })
    t.same(await list({ p_agent_id: PYTHON_AGENT, p_status: null }), { runs: [], next: null })
    const stranger = await createUser(0)
    await t.rejects(list({ p_user_id: stranger, p_after: runs[0]!.runId }), { code: 'bad_request', statusCode: 400 })
  })

  t.test('a run stays with a process that says that it lives, and goes to another when its lease has ended', async t => {
    const [one, other] = [randomUUID(), randomUUID()]
    const heartbeat = (owner: string, seconds = 60) => db.call('heartbeat_worker', { p_owner: owner, p_lease_seconds: seconds })
    const owned = (owner: string) => db.call('get_owned_runs', { p_owner: owner })
    const claim = (owner: string) => db.call('claim_runs', { p_owner: owner, p_lease_seconds: 60, p_limit: 10 })
    const user = await createUser(1)
    const input = { messages: [{ role: 'user', content: 'Hi' }] }
    const { run } = await begin(user, { p_owner: one, p_lease_seconds: 0, p_input: input })

    t.same(await heartbeat(one), { lapsed: true, owned: 1, cancel: [] }, 'it was not heard of before')
    t.same(await heartbeat(one), { lapsed: false, owned: 1, cancel: [] })
    t.same((await claim(other)).claimed, [], 'it lives')
    t.same(await owned(one), { [run.runId]: 1 })
    await heartbeat(one, -1)
    const race = await Promise.all([claim(other), claim(other), claim(other)])
    const [claimed, ...more] = race.flatMap(({ claimed }) => claimed)
    t.same(more, [], 'one takes it over')
    t.match(claimed, { run: { runId: run.runId, attempt: 2, creditsReserved: 1 }, userId: user, input: { ...input, agent: { name: 'Demo agent' } } })
    t.match(await heartbeat(one), { lapsed: true, owned: 0 }, 'the first hears that it was taken for dead')
    t.same(await owned(one), {}, 'and what it has lost')
    t.same(await owned(other), { [run.runId]: 2 })
    await t.rejects(finish(run), { code: 'stale_attempt' })
    await t.rejects(db.call('start_run', { p_run_id: run.runId, p_attempt: 1 }), { code: 'stale_attempt' })
    t.match(await finish({ ...run, attempt: 2 }), { status: 'succeeded', creditsCharged: 1 })
    t.same((await claim(one)).claimed, [])
  })

  t.test('a run over which too many processes died is ended and costs nothing; one handed over on purpose goes on', async t => {
    const owner = randomUUID()
    const user = await createUser(1)
    const { run } = await begin(user, { p_owner: owner })
    const claim = () => db.call('claim_runs', { p_owner: owner, p_lease_seconds: 60, p_limit: 10, p_max_crashes: 2 })
    for (const [crashed, attempts] of [[false, 1], [false, 1], [true, 1], [true, 0]] as const) {
      await db.call('release_runs', { p_owner: owner, p_crashed: crashed })
      t.equal((await claim()).claimed.length, attempts)
    }
    t.match(await db.call('get_run', { p_user_id: user, p_run_id: run.runId }), { status: 'failed', error: { code: 'crashed_too_often' }, creditsCharged: 0 })
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 0 })
  })

  t.test('cancel_run tells the owner; a run that nobody has it ends itself; a finished one it leaves', async t => {
    const owner = randomUUID()
    const user = await createUser(2)
    const cancel = (runId: string, userId = user) => db.call('cancel_run', { p_user_id: userId, p_run_id: runId })
    const { run } = await begin(user, { p_owner: owner })
    await t.rejects(cancel(run.runId, DEMO_USER), { code: 'run_not_found' })
    t.match(await cancel(run.runId), { status: 'running' })
    t.match(await db.call('heartbeat_worker', { p_owner: owner, p_lease_seconds: 60 }), { cancel: [run.runId] })
    await db.call('release_runs', { p_owner: owner })
    const ended = await cancel(run.runId)
    t.match(ended, { status: 'cancelled', creditsCharged: 0, creditsReserved: 0 })
    t.same(await cancel(run.runId), ended)
    t.match(await balance(user), { creditsRemaining: 2, creditsReserved: 0 })
  })

  t.test('what a finished run told is kept with it, and what was asked is erased', async t => {
    const { run } = await begin(DEMO_USER)
    const other = await begin(DEMO_USER)
    const trace = [{ type: 'started' }, 3, { type: 'rewind', to: 1 }, 5]
    const ended = await finish(run, { p_trace: trace })
    t.same(await db.call('get_ended_runs', { p_run_ids: [run.runId, other.run.runId, randomUUID()] }), [{ run: ended, trace }])
    const inputs = `select run_id from public.agent_run_inputs where run_id in ('${run.runId}', '${other.run.runId}')`
    t.same(await sql(inputs), [{ run_id: other.run.runId }])
    await finish(other.run, { p_keep_messages: true })
    t.equal((await sql(inputs)).length, 1)
  })

  t.test('authenticate_api_key names the owner of an active key, and nobody for any other', async t => {
    const ask = (hash: string) => db.call('authenticate_api_key', { p_key_hash: hash })
    t.match(await ask(DEMO_KEY_HASH), { userId: DEMO_USER })
    t.match(await ask('f'.repeat(64)), { userId: null })
    const hash = randomUUID()
    await sql(`insert into public.api_keys (user_id, key_name, key_hash, key_prefix, is_active)
      values ('${DEMO_USER}', 'off', '${hash}', 'x', false) returning id`)
    t.match(await ask(hash), { userId: null })
    const keys = 'select is_active, last_used_at is not null as used from public.api_keys order by is_active'
    t.same(await sql(keys), [{ is_active: false, used: false }, { is_active: true, used: true }])
  })

  t.test('deduct_credits never takes a balance below zero, and never adds to one', async t => {
    const user = await createUser(10)
    await deduct(user, 4)
    t.match(await balance(user), { creditsRemaining: 6, creditsUsedThisMonth: 4 })
    await t.rejects(deduct(user, 7), insufficient)
    for (const wrong of [-1, null]) await t.rejects(deduct(user, wrong), { code: 'bad_request', statusCode: 400 })
    const all = await Promise.allSettled(Array.from({ length: 10 }, () => deduct(user, 1)))
    t.equal(all.filter(({ status }) => status === 'fulfilled').length, 6)
    t.match(await balance(user), { creditsRemaining: 0, creditsUsedThisMonth: 10 })
  })

  t.test('begin_run gives a new user the first balance, of which get_credits tells before', async t => {
    const user = randomUUID()
    await sql(`insert into auth.users (id) values ('${user}') returning id`)
    t.same(await balance(user), { creditsRemaining: 5, creditsReserved: 0, creditsUsedThisMonth: 0, planType: 'basic' })
    await finish((await begin(user)).run)
    t.same(await balance(user), { creditsRemaining: 4, creditsReserved: 0, creditsUsedThisMonth: 1, planType: 'basic' })
  })

  t.test('get_credits knows who has no balance; admin_stats answers admins alone', async t => {
    t.same(await balance(randomUUID()), { creditsRemaining: 0, creditsReserved: 0, creditsUsedThisMonth: 0, planType: 'free' })
    t.match(await db.call('admin_stats', { p_user_id: DEMO_USER }), { total_agents: 3, total_users: Number, total_credits_used: Number })
    await t.rejects(db.call('admin_stats', { p_user_id: OTHER_USER }), { code: 'forbidden', statusCode: 403 })
  })

  t.test('a function that is not there, or takes other arguments, means that the database is not migrated', async t => {
    const notMigrated = { code: 'database_not_migrated', statusCode: 503 }
    await t.rejects(untyped(db)('no_such_function'), notMigrated)
    await t.rejects(untyped(db)('get_credits', { p_user: DEMO_USER }), notMigrated)
  })

  t.test('what is wrong with a call itself is an internal error that tells callers nothing', async t => {
    const error = { code: 'internal_error', statusCode: 500, message: 'Something went wrong on our side.' }
    await t.rejects(db.call('get_credits', { p_user_id: 'no uuid' }), error)
  })

  t.test('NUL and halves of surrogate pairs are stored as U+FFFD, in text and in jsonb, in keys too', async t => {
    const text = 'a\0b\ud800c\udc00d😀'
    const clean = 'a\ufffdb\ufffdc\ufffdd😀'
    const echo = await untyped(db)('test_echo', { p_text: text, p_json: [text, { [text]: text, list: [text] }] })
    t.same(echo, { text: clean, json: [clean, { [clean]: clean, list: [clean] }], isNull: false })
    t.equal((await finish((await begin(DEMO_USER)).run, { p_response: text })).response, clean)
  })

  t.test('arrays and objects pass as jsonb, null as null, and what is left out takes its default', async t => {
    const values = [[], {}, [1, 'two', null, [3], { four: 4.5 }], { list: [], none: null, no: false, quote: '"\\\'' }]
    for (const json of values) t.same(await untyped(db)('test_echo', { p_text: null, p_json: json }), { text: null, json, isNull: false })
    t.same(await untyped(db)('test_echo', { p_text: '[1]', p_json: null }), { text: '[1]', json: null, isNull: true })
    t.same(await untyped(db)('test_echo'), { text: 'unset', json: 'unset', isNull: false })
  })

  t.test('of 200 runs begun at once on a balance of 100 exactly 100 begin', async t => {
    const user = await createUser(100)
    const all = await Promise.allSettled(Array.from({ length: 200 }, () => begin(user)))
    t.equal(all.filter(({ status }) => status === 'fulfilled').length, 100)
    const refused = all.flatMap(result => result.status === 'rejected' ? result.reason.code : [])
    t.same(refused, Array(100).fill('insufficient_credits'))
    t.match(await balance(user), { creditsRemaining: 0, creditsReserved: 100 })
  })

  t.test('whatever happens in whatever order, no credit is lost, made or charged twice', async t => {
    const step = fc.oneof(
      fc.record({ does: fc.constant('begin' as const), vouched: fc.boolean(), key: fc.option(fc.constantFrom('a', 'b')) }),
      fc.record({
        does: fc.constant('finish' as const),
        which: fc.nat(),
        times: fc.integer({ min: 1, max: 2 }),
        attempt: fc.constantFrom(1, 1, 1, 2),
        credits: fc.integer({ min: -1, max: 3 })
      }),
      fc.record({ does: fc.constant('record' as const), which: fc.nat(), attempt: fc.constantFrom(1, 1, 1, 2), credits: fc.integer({ min: 0, max: 5 }) }),
      fc.record({ does: fc.constant('deduct' as const), credits: fc.integer({ min: 0, max: 3 }) }))

    await t.resolves(fc.assert(fc.asyncProperty(fc.nat(6), fc.array(step, { maxLength: 14 }), async (credits, steps) => {
      const user = await createUser(credits)
      const runs = new Map<string, Run>()
      let deducted = 0
      for (const step of steps) {
        try {
          if (step.does === 'begin') {
            const { run } = await begin(user, { p_agent: step.vouched ? {} : null, p_idempotency_key: step.key, p_request_hash: `${step.vouched}` })
            runs.set(run.runId, run)
          } else if (step.does === 'finish') {
            const run = [...runs.values()][step.which % runs.size]
            const calls = Array.from({ length: run ? step.times : 0 }, () =>
              finish({ ...run!, attempt: step.attempt }, { p_credits: step.credits }))
            for (const settled of await Promise.all(calls)) runs.set(settled.runId, settled)
          } else if (step.does === 'record') {
            const run = [...runs.values()][step.which % runs.size]
            if (!run) continue
            await untyped(db)('record_step', { p_run_id: run.runId, p_attempt: step.attempt, p_number: 1, p_step: { kind: 'model' }, p_record: {}, p_credits: step.credits })
            runs.set(run.runId, await db.call('get_run', { p_user_id: user, p_run_id: run.runId }))
          } else {
            await deduct(user, step.credits)
            deducted += step.credits
          }
        } catch (error) {
          if (!EXPECTED.has((error as { code: string }).code)) throw error
        }
        const { creditsRemaining, creditsReserved, creditsUsedThisMonth } = await balance(user)
        const charged = sum(runs, 'creditsCharged')
        const entries = (await ledger(user)).reduce((total, row) => total + row.credits_used, 0)
        assert.ok(creditsRemaining >= 0 && creditsReserved >= 0, 'nothing is negative')
        assert.equal(creditsRemaining + creditsReserved + charged + deducted, credits)
        assert.equal(creditsReserved, sum(runs, 'creditsReserved'))
        assert.equal(creditsUsedThisMonth, charged + deducted)
        assert.equal(entries, charged + deducted, 'the ledger adds up')
      }
    }), { numRuns: 50 }))
  })

  await testBegins(t, db)
  await testChats(t, db)
  await testSteps(t, db)
  await testReplicas(t, db)
  await testLedger(t, db)
  await testLimits(t, db)
  await testKeys(t, db)
  await testSlots(t, db)
}

const EXPECTED = new Set(['insufficient_credits', 'stale_attempt', 'idempotency_key_reused'])

function sum (runs: Map<string, Run>, field: 'creditsCharged' | 'creditsReserved'): number {
  return [...runs.values()].reduce((total, run) => total + run[field], 0)
}
