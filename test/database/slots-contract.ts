import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { ArgumentsOf } from '../../src/database/functions.js'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'

type Begin = Partial<ArgumentsOf<'begin_run'>>

const END = { p_attempt: 1, p_status: 'succeeded', p_response: '', p_finish_reason: null, p_usage: null, p_credits: 1, p_model: null, p_error: null } as const

/** What every driver has to do where a run begins at a process only if it need not wait, on the database of the contract suite. */
export async function testSlots (t: Test, db: Database): Promise<void> {
  t.test('runs that begin where nobody has to wait', t => testLimits(t, db))
}

async function testLimits (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const endAll = async () => {
    const left = await sql<{ id: string, attempt: number }>('select id, attempt from public.agent_runs where finished_at is null')
    for (const { id, attempt } of left) await db.call('finish_run', { ...END, p_run_id: id, p_attempt: attempt, p_status: 'failed', p_credits: 0 })
  }
  t.beforeEach(endAll)
  t.teardown(endAll)

  async function createUser (): Promise<string> {
    const user = randomUUID()
    await sql(`insert into auth.users (id) values ('${user}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${user}', 100, 'demo') returning id`)
    return user
  }
  const [agent] = await sql<{ id: string }>(`insert into public.agents (user_id, name, purpose, is_published) values ('${await createUser()}', 'A', 'To be run.', true) returning id`)
  /** Begins a run; as long as it may, if `p_max_per_user` is given. Returns its id. */
  const begin = async (user: string, more: Begin = {}): Promise<string | undefined> => {
    const begun = await db.call('begin_run', {
      p_user_id: user, p_agent_id: agent!.id, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: randomUUID(), p_lease_seconds: 60, ...more
    })
    return (begun as typeof begun | null)?.run.runId
  }
  const beginHere = (user: string, more: Begin = {}) => begin(user, { p_max_per_user: 2, ...more })
  const beginWaiting = (user: string, more: Begin = {}) => begin(user, { p_owner: null, p_lease_seconds: 0, p_waiting: true, p_python: true, ...more })
  const finish = (runId: string) => db.call('finish_run', { p_run_id: runId, ...END })
  const credits = async (user: string) => (await db.call('get_credits', { p_user_id: user })).creditsReserved

  t.test('a run begins here until its user has as many as the limit allows, over all owners, and leaves nothing behind where it may not', async t => {
    const user = await createUser()
    const first = await beginHere(user)
    t.ok(await beginHere(user))
    t.equal(await beginHere(user), undefined)
    t.equal(await credits(user), 2)
    t.ok(await beginHere(await createUser()), 'another user\'s')
    t.notOk((await finish(first!)).userWaits)
    t.ok(await beginHere(user))
  })

  t.test('of many that begin at once no more than the limit allows do', async t => {
    const user = await createUser()
    const begun = await Promise.all(Array.from({ length: 12 }, () => beginHere(user)))
    t.equal(begun.filter(Boolean).length, 2)
    const [{ count }] = await sql<{ count: number }>(`select count(*)::int from public.agent_runs where user_id = '${user}'`) as [{ count: number }]
    t.equal(count, 2)
  })

  t.test('of those that begin and those that are claimed at once no more than the limit allows are', async t => {
    const user = await createUser()
    const waiting = await Promise.all(Array.from({ length: 4 }, () => beginWaiting(user)))
    const claim = db.call('claim_queued_runs', {
      p_runs: waiting.map(runId => ({ runId: runId!, keepFirst: true })), p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 2
    })
    const begun = await Promise.all(Array.from({ length: 4 }, () => beginHere(user)))
    const claimed = Object.values(await claim).filter(one => one.claimed)
    t.equal(claimed.length + begun.filter(Boolean).length, 2)
  })

  t.test('a run whose owner is dead is none that is under way', async t => {
    const user = await createUser()
    const runId = await begin(user)
    t.ok(await begin(user))
    await sql(`update public.agent_runs set lease_until = now() - interval '1 second' where id = '${runId}' returning id`)
    t.ok(await beginHere(user))
    t.equal(await beginHere(user), undefined)
  })

  t.test('nobody begins before one that waits for a process', async t => {
    const [user, other] = [await createUser(), await createUser()]
    const waiting = await beginWaiting(user)
    t.equal(await beginHere(other), undefined)
    t.equal(await beginHere(user), undefined)
    await db.call('claim_run', { p_run_id: waiting!, p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 2 })
    const runId = await beginHere(other)
    t.ok(runId)
    await sql(`update public.agent_runs set lease_until = '-infinity' where id = '${runId}' returning id`)
    t.equal(await beginHere(user), undefined, 'nor before one that was released')
  })

  t.test('one that waits for its user\'s other runs, or for another kind of process, holds nobody up', async t => {
    const [busy, user] = [await createUser(), await createUser()]
    const runs = [await begin(busy), await begin(busy)]
    const waiting = await beginWaiting(busy)
    t.ok(await beginHere(user))
    t.equal((await finish(runs[0]!)).userWaits, true, 'and is known when one of these ends')
    t.equal(await beginHere(user), undefined)
    await sql(`update public.agent_run_inputs set bytes = 1000000 where run_id = '${waiting}' returning run_id`)
    t.equal(await beginHere(user, { p_room: 2_000_000, p_inline_bytes: 65_536 }), undefined, 'there is memory for it')
    t.ok(await beginHere(user, { p_room: 100_000, p_inline_bytes: 65_536 }), 'there is none')
    await sql(`update public.agent_run_inputs set bytes = 10, input = jsonb_set(input, '{agent,executor}', '"python"') where run_id = '${waiting}' returning run_id`)
    t.equal(await beginHere(await createUser(), { p_python: true }), undefined)
    t.ok(await beginHere(await createUser(), { p_python: false }))
  })

  t.test('where many users wait for their own runs, one more waits too, rather than that all of them are looked at', async t => {
    for (let users = 0; users < 16; users++) {
      const user = await createUser()
      await begin(user)
      await beginWaiting(user)
    }
    t.equal(await beginHere(await createUser(), { p_max_per_user: 1 }), undefined)
  })

  t.test('a run that is too large for the process, or in Python where it has none, begins elsewhere', async t => {
    const user = await createUser()
    const [python] = await sql<{ id: string }>(`insert into public.agents (user_id, name, purpose, is_published, executor, entrypoint) values ('${user}', 'P', 'To be run.', true, 'python', 'a.b:c') returning id`)
    t.equal(await beginHere(user, { p_agent_id: python!.id, p_python: false }), undefined)
    t.ok(await beginHere(user, { p_agent_id: python!.id, p_python: true }))
    const p_input = { messages: [{ role: 'user' as const, content: 'x'.repeat(20_000) }] }
    t.equal(await beginHere(user, { p_input, p_room: 10_000, p_inline_bytes: 1_000 }), undefined)
    t.ok(await beginHere(user, { p_input, p_room: 30_000, p_inline_bytes: 1_000 }))
  })

  t.test('a run is adopted within the same limits', async t => {
    const user = await createUser()
    const lease = { p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 1, p_python: true }
    const [first, second] = [await beginWaiting(user, { p_lease_seconds: 60 }), await beginWaiting(user, { p_lease_seconds: 60 })]
    t.match(await db.call('adopt_run', { p_user_id: user, p_run_id: first!, ...lease }), { joined: false, run: { status: 'running' } })
    t.equal(await db.call('adopt_run', { p_user_id: user, p_run_id: second!, ...lease }), null)
    t.match(await db.call('adopt_run', { p_user_id: user, p_run_id: second!, ...lease, p_owner: null, p_max_per_user: null, p_waiting: true }), { joined: false, run: { status: 'queued' } })
  })

  t.test('several runs are claimed in one call, each with an answer of its own', async t => {
    const [user, other] = [await createUser(), await createUser()]
    const [first, second, third, large] = [await beginWaiting(user), await beginWaiting(other), await beginWaiting(user), await beginWaiting(other)]
    await sql(`update public.agent_run_inputs set bytes = 1000 where run_id = '${large}' returning run_id`)
    const unknown = randomUUID()
    const ask = (runIds: string[], more: object = {}) => db.call('claim_queued_runs', {
      p_runs: runIds.map(runId => ({ runId, keepFirst: runId !== second })), p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 1, ...more
    })
    t.match(await ask([first!, second!, third!, unknown]), {
      [first!]: { claimed: { run: { attempt: 1 } } }, [second!]: { claimed: { run: { attempt: 2 } } }, [third!]: { refused: 'busy' }, [unknown]: { refused: 'ended' }
    })
    t.match(await ask([first!, large!], { p_max_per_user: 5, p_room: 10, p_inline_bytes: 10 }), { [first!]: { refused: 'owned' }, [large!]: { refused: 'full' } })
  })
}
