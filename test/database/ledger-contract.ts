import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Run } from '#shared/schemas.ts'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'
import { DEMO_AGENT, DEMO_USER, OTHER_USER, PYTHON_AGENT, UNPUBLISHED_AGENT } from '../support/helper.js'

/** What every driver has to do for administration, the audit and the edge function, on the database of the contract suite. */
export async function testLedger (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const audit = (limit = 1000) => db.call('audit_credits', { p_limit: limit })
  const problemsOf = async (userId: string) => (await audit()).problems.filter(problem => problem.userId === userId)
  const balance = (userId: string) => db.call('get_credits', { p_user_id: userId })
  const begin = (userId: string, more: object = {}) => db.call('begin_run', {
    p_user_id: userId, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 60, ...more
  })
  const finish = ({ runId, attempt }: Pick<Run, 'runId' | 'attempt'>, credits = 1) => db.call('finish_run', {
    p_run_id: runId, p_attempt: attempt, p_status: 'succeeded', p_response: 'Hi', p_finish_reason: 'stop', p_usage: { totalTokens: 2 } as never, p_credits: credits, p_model: 'm', p_error: null
  })
  const changes = (userId: string) => sql(`select credits, kind, reason, metadata from public.credit_changes where user_id = '${userId}' order by created_at`)
  async function createUser (credits: number): Promise<string> {
    const id = randomUUID()
    await sql(`insert into auth.users (id) values ('${id}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${id}', ${credits}, 'demo') returning id`)
    return id
  }

  t.test('after all that the other tests did, the audit has looked at everything and finds nothing', async t => {
    const { checked, problems, total } = await audit()
    t.same(problems, [])
    t.equal(total, 0)
    t.ok(Object.values(checked).every(count => count > 2), JSON.stringify(checked))
  })

  t.test('the audit lists what does not add up, each with what there should be', async t => {
    const user = await createUser(5)
    const { run } = await begin(user)
    const { run: open } = await begin(user)
    await finish(run)
    t.same(await problemsOf(user), [])
    const move = (credits: number) => sql(`update public.credit_balances set credits_reserved = credits_reserved + ${credits}, credits_remaining = credits_remaining - ${credits} where user_id = '${user}' returning id`)
    await move(1)
    t.match(await problemsOf(user), [{ kind: 'reservation', expected: 1, found: 2 }])
    await move(-1)
    const give = (credits: number) => sql(`insert into public.credit_changes (user_id, credits, kind) values ('${user}', ${credits}, 'adjustment') returning id`)
    await give(7)
    t.match(await problemsOf(user), [{ kind: 'balance', expected: 11, found: 4 }])
    await give(-7)
    await sql(`update public.agent_runs set credits_charged = 3 where id = '${run.runId}' returning id`)
    t.match(await problemsOf(user), [{ kind: 'charge', runId: run.runId, expected: 3, found: 1 }])
    await sql(`delete from public.credit_usage where run_id = '${run.runId}' returning id`)
    t.match((await problemsOf(user)).map(({ kind }) => kind), ['balance', 'charge'])
    await sql(`insert into public.credit_usage (user_id, run_id, credits_used, operation_type) values ('${user}', '${run.runId}', 1, 'agent_execution') returning id`)
    await sql(`update public.agent_runs set credits_charged = 1, credits_reserved = 1 where id = '${run.runId}' returning id`)
    t.match(await problemsOf(user), [{ kind: 'held_after_end', runId: run.runId }])
    await sql(`update public.agent_runs set credits_reserved = 0 where id = '${run.runId}' returning id`)
    await sql(`update public.agent_runs set lease_until = now() - interval '1 hour', created_at = now() - interval '2 hours' where id = '${open.runId}' returning id`)
    t.match(await problemsOf(user), [{ kind: 'stuck', runId: open.runId }])
    const entry = await sql<{ id: string }>(`insert into public.credit_usage (user_id, run_id, credits_used, operation_type) values ('${user}', '${randomUUID()}', 0, 'agent_execution') returning id`)
    t.match((await audit(1)).problems.length, 1, 'as many as were asked for')
    await sql(`delete from public.credit_usage where id = '${entry[0]!.id}' returning id`)
    await finish(open, 0)
    t.same(await problemsOf(user), [])
  })

  t.test('what others change enters itself; what does not add up is entered with a reason, and the audit is content', async t => {
    const user = await createUser(5)
    await sql(`update public.credit_balances set credits_remaining = 105 where user_id = '${user}' returning id`)
    t.same(await problemsOf(user), [])
    await sql(`delete from public.credit_changes where user_id = '${user}' and kind = 'change' returning id`)
    t.match(await problemsOf(user), [{ kind: 'balance', expected: 5, found: 105 }])
    await t.rejects(db.call('adjust_ledger', { p_reason: ' ' }), { code: 'bad_request' })
    t.same(await db.call('adjust_ledger', { p_reason: 'Bought 100' }), { adjusted: 1 })
    t.same(await problemsOf(user), [])
    t.match(await changes(user), [{ credits: 5, kind: 'opening' }, { credits: 100, kind: 'adjustment', reason: 'Bought 100' }])
    t.same(await db.call('adjust_ledger', { p_reason: 'Again' }), { adjusted: 0 })
  })

  t.test('an admin grants credits once a key, with a reason; others, and what is no grant, are refused', async t => {
    const user = randomUUID()
    await sql(`insert into auth.users (id) values ('${user}') returning id`)
    const grant = (more: object = {}) => db.call('admin_grant_credits', {
      p_admin_id: DEMO_USER, p_user_id: user, p_credits: 20, p_reason: 'Welcome', p_idempotency_key: null, ...more
    })
    t.match(await grant({ p_idempotency_key: 'once' }), { creditsRemaining: 25 }, 'who had no balance has what the platform gives, too')
    const again = await Promise.all(Array.from({ length: 5 }, () => grant({ p_idempotency_key: 'once' })))
    t.ok(again.every(credits => (credits as { creditsRemaining: number }).creditsRemaining === 25))
    t.match(await balance(user), { creditsRemaining: 25 })
    t.match(await grant(), { creditsRemaining: 45 }, 'without a key each is a grant')
    await t.rejects(grant({ p_idempotency_key: 'once', p_credits: 21 }), { code: 'idempotency_key_reused', statusCode: 422 })
    await t.rejects(grant({ p_admin_id: OTHER_USER }), { code: 'forbidden', statusCode: 403 })
    await t.rejects(grant({ p_user_id: randomUUID() }), { code: 'user_not_found', statusCode: 404 })
    for (const wrong of [{ p_credits: 0 }, { p_credits: -500 }, { p_credits: 2147483647 }, { p_reason: '  ' }, { p_reason: null }, { p_credits: null }]) {
      await t.rejects(grant(wrong), { code: 'bad_request', statusCode: 400 }, JSON.stringify(wrong))
    }
    t.match((await changes(user)).slice(1), [{ credits: 20, kind: 'grant', reason: 'Welcome', metadata: { grantedBy: DEMO_USER } }, { credits: 20, kind: 'grant' }])
    t.same(await problemsOf(user), [])
    t.match(await sql(`select admin_id, action, details from public.admin_actions where user_id = '${user}' order by id`),
      [{ admin_id: DEMO_USER, action: 'grant', details: { credits: 20, reason: 'Welcome' } }, { action: 'grant' }], 'each is noted, once')
  })

  t.test('an admin pages through a user\'s ledger and through everybody\'s runs, each page noted', async t => {
    const user = await createUser(5)
    for (let n = 0; n < 2; n++) await finish((await begin(user)).run)
    const ledger = (more: object) => db.call('admin_get_ledger', { p_admin_id: DEMO_USER, p_user_id: user, p_limit: 2, ...more })
    const first = await ledger({})
    const second = await ledger({ p_after: first.next })
    t.match(first.credits, { creditsRemaining: 3 })
    t.equal(new Set([...first.entries, ...second.entries].map(({ id }) => id)).size, 3)
    t.match(second.entries, [{ operationType: 'opening', creditsUsed: -5, runId: null }], 'what was given is in it')
    t.equal(second.next, null)
    await t.rejects(ledger({ p_after: randomUUID() }), { code: 'bad_request' })
    await t.rejects(ledger({ p_user_id: randomUUID() }), { code: 'user_not_found' })
    await t.rejects(ledger({ p_admin_id: user }), { code: 'forbidden' })
    const runs = (more: object) => db.call('admin_list_runs', { p_admin_id: DEMO_USER, p_limit: 2, ...more })
    const everybodys = await runs({})
    t.match(everybodys.runs, [{ userId: user }, { userId: user }], 'newest first')
    t.equal((await runs({ p_after: everybodys.next })).runs.length, 2)
    t.same((await runs({ p_user_id: user, p_status: 'failed' })).runs, [])
    await t.rejects(runs({ p_admin_id: user }), { code: 'forbidden' })
    t.match(await sql(`select action from public.admin_actions where user_id = '${user}' order by id`),
      [{ action: 'ledger' }, { action: 'ledger' }, { action: 'runs' }], 'what was refused is not there')
  })

  t.test('get_agent says where an agent runs, to those who may run it', async t => {
    const agent = (userId: string, agentId: string) => db.call('get_agent', { p_user_id: userId, p_agent_id: agentId })
    t.match(await agent(OTHER_USER, DEMO_AGENT), { agentId: DEMO_AGENT, name: 'Demo agent', isHeavy: true, railwayUrl: null, executor: 'model', systemPrompt: /demo agent/ })
    t.match(await agent(OTHER_USER, PYTHON_AGENT), { executor: 'python' })
    t.match(await agent(DEMO_USER, UNPUBLISHED_AGENT), { name: 'Unpublished agent' })
    await t.rejects(agent(OTHER_USER, UNPUBLISHED_AGENT), { code: 'agent_not_found', statusCode: 404 })
    await t.rejects(agent(OTHER_USER, randomUUID()), { code: 'agent_not_found', statusCode: 404 })
  })

  t.test('a run that was begun for another process is adopted once, keeps its reservation, and is settled by who has it', async t => {
    const user = await createUser(2)
    const { run } = await begin(user, { p_waiting: true })
    t.match(run, { status: 'queued', creditsReserved: 1 })
    const adopt = (more: object = {}) => db.call('adopt_run', { p_user_id: user, p_run_id: run.runId, p_owner: randomUUID(), p_lease_seconds: 60, ...more })
    await t.rejects(adopt({ p_user_id: DEMO_USER }), { code: 'run_not_found', statusCode: 404 })
    const both = await Promise.all([adopt(), adopt()])
    t.same(both.map(({ joined }) => joined).toSorted(), [false, true], 'of two one has it')
    t.match(both[0], { run: { status: 'running', attempt: 1, startedAt: String, creditsReserved: 1 }, agent: { name: 'Demo agent' } })
    t.match(await finish(run), { creditsCharged: 1 })
    t.match(await adopt(), { joined: true, run: { status: 'succeeded' } })
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 0 })
    t.match(await sql(`select kind, name, step, attempt from public.agent_run_steps where run_id = '${run.runId}'`), [{ kind: 'model', name: 'm', step: 1, attempt: 1 }])
  })

  t.test('a run that nobody could be given is dropped and costs nothing; one that somebody has is left', async t => {
    const user = await createUser(2)
    const drop = (runId: string, userId = user) => db.call('drop_run', { p_user_id: userId, p_run_id: runId, p_error: { code: 'backend_unavailable', message: 'It is away.' } })
    const { run } = await begin(user, { p_waiting: true })
    await t.rejects(drop(run.runId, DEMO_USER), { code: 'run_not_found' })
    t.match(await drop(run.runId), { status: 'failed', creditsCharged: 0, error: { code: 'backend_unavailable' } })
    t.match(await drop(run.runId), { status: 'failed' }, 'again, it answers the same')
    const { run: taken } = await begin(user, { p_owner: randomUUID() })
    t.match(await drop(taken.runId), { status: 'running' })
    t.match(await balance(user), { creditsRemaining: 1, creditsReserved: 1 })
    await finish(taken, 0)
  })

  t.test('before a user is refused for want of credits, runs that nobody has had for ten minutes give back theirs', async t => {
    const user = await createUser(1)
    const age = (runId: string, lease: string) => sql(`update public.agent_runs set lease_until = ${lease} where id = '${runId}' returning id`)
    const { run: first } = await begin(user, { p_owner: randomUUID() })
    const insufficient = { code: 'insufficient_credits', statusCode: 402 }
    for (const lease of ['now() + interval \'1 second\'', 'now() - interval \'9 minutes\'', '\'-infinity\'']) {
      await age(first.runId, lease)
      await t.rejects(begin(user), insufficient, lease)
    }
    await age(first.runId, 'now() - interval \'11 minutes\'')
    const { run } = await begin(user)
    t.match(await db.call('get_run', { p_user_id: user, p_run_id: first.runId }), { status: 'failed', attempt: 2, error: { code: 'abandoned' }, creditsCharged: 0 })
    await t.rejects(finish(first), { code: 'stale_attempt' }, 'and whoever had it is told')
    t.match(await finish(run), { creditsCharged: 1 })
    t.same(await problemsOf(user), [])

    const poor = await createUser(1)
    const { run: given } = await begin(poor, { p_owner: randomUUID() })
    await sql(`update public.agent_runs set lease_until = '-infinity', created_at = now() - interval '11 minutes' where id = '${given.runId}' returning id`)
    const owner = randomUUID()
    await db.call('heartbeat_worker', { p_owner: owner, p_lease_seconds: 60 })
    await t.rejects(begin(poor), insufficient, 'what was given up on purpose is for whoever lives')
    await sql('delete from public.agent_workers where true returning owner')
    t.match((await begin(poor, { p_owner: owner })).run, { creditsReserved: 1 }, 'and nobody does')
  })
}
