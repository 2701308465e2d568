import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Run } from '#shared/schemas.ts'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'

/** What every driver has to do where runs begin without an owner, on the database of the contract suite. */
export async function testReplicas (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const age = (runId: string, set: string) => sql(`update public.agent_runs set ${set} where id = '${runId}' returning id`)
  const claim = (runId: string, more: object = {}) => db.call('claim_run', {
    p_run_id: runId, p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 10, ...more
  })
  const claimAny = async (more: object) => (await db.call('claim_runs', {
    p_owner: randomUUID(), p_lease_seconds: 60, p_limit: 100, ...more
  })).claimed.map(({ run: { runId, attempt } }) => ({ runId, attempt }))
  const waiting = async (queued: boolean) => (await db.call('list_waiting_runs', {
    p_limit: 100, p_queued: queued
  })).runs.map(({ runId }) => runId)

  /** A user, and runs of theirs that nobody has. */
  async function createRuns (count: number): Promise<{ user: string, runIds: string[] }> {
    const user = randomUUID()
    await sql(`insert into auth.users (id) values ('${user}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${user}', ${count}, 'demo') returning id`)
    const [agent] = await sql<{ id: string }>(`insert into public.agents (user_id, name, purpose) values ('${user}', 'A', 'To be run.') returning id`)
    const runIds: string[] = []
    while (runIds.length < count) runIds.push((await begin(user, agent!.id)).runId)
    return { user, runIds }
  }
  async function begin (user: string, agentId: string): Promise<Run> {
    return (await db.call('begin_run', {
      p_user_id: user, p_agent_id: agentId, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 0, p_waiting: true
    })).run
  }

  t.test('a run without an owner is its first claimer\'s, at its first attempt', async t => {
    const { runIds: [runId] } = await createRuns(1)
    t.match(await claim(runId!), { claimed: { run: { runId, status: 'running', attempt: 1 } } })
    t.same(await claim(runId!), { refused: 'owned' })
    await age(runId!, 'lease_until = now() - interval \'1 second\'')
    t.match(await claim(runId!), { claimed: { run: { attempt: 2 } } }, 'and after a death another\'s, at the next')
    await db.call('finish_run', { p_run_id: runId!, p_attempt: 2, p_status: 'succeeded', p_response: '', p_finish_reason: null, p_usage: null, p_credits: 1, p_model: null, p_error: null })
    t.same(await claim(runId!), { refused: 'ended' })
    t.same(await claim(randomUUID()), { refused: 'ended' })
  })

  t.test('where others may have told of it, it is taken as an attempt of its own', async t => {
    const { runIds: [first, second, third] } = await createRuns(3)
    t.match(await claim(first!, { p_keep_first: false }), { claimed: { run: { attempt: 2 } } })
    // What others of this database left may have lapsed by now.
    t.same((await claimAny({ p_lapsed: true })).filter(({ runId }) => runId === second || runId === third), [], 'those that wait are not among the dead\'s')
    t.same((await claimAny({ p_keep_first: false })).filter(({ runId }) => runId === second), [{ runId: second, attempt: 2 }])
    t.equal((await claimAny({})).some(({ runId }) => runId === third), false, 'which took all')
  })

  t.test('so many are one user\'s at a time, anywhere', async t => {
    const { runIds } = await createRuns(3)
    const claims = await Promise.all(runIds.map(runId => claim(runId, { p_max_per_user: 2 })))
    t.same(claims.map(({ refused }) => refused ?? 'claimed').sort(), ['busy', 'claimed', 'claimed'])
  })

  t.test('a process gets no more input than it has memory for, and reads what is large when it needs it', async t => {
    const { runIds: [large, second, small] } = await createRuns(3)
    const INPUT = { p_inline_bytes: 10_000 }
    for (const runId of [large, second]) {
      await sql(`update public.agent_run_inputs set bytes = null, input = input || jsonb_build_object('messages', jsonb_build_array(repeat('x', 20000))) where run_id = '${runId}' returning run_id`)
    }
    t.same(await claim(large!, { ...INPUT, p_room: 100 }), { refused: 'full' })
    const { claimed } = await claim(small!, { ...INPUT, p_room: 0 })
    t.match(claimed, { input: { messages: [] } }, 'what is small needs no room')
    const ours = (await claimAny({ ...INPUT, p_keep_first: true, p_room: 30_000 })).map(({ runId }) => runId).filter(runId => runId === large || runId === second)
    t.equal(ours.length, 1, 'there is room for one of them')
    const [left] = [large!, second!].filter(runId => !ours.includes(runId))
    const taken = (await claim(left!, { ...INPUT, p_room: 30_000 })).claimed!
    t.match(taken, { input: null, steps: [] })
    t.ok(taken.inputBytes > 20_000)
    t.match(await db.call('get_run_input', { p_run_id: left!, p_attempt: 1 }), { input: { messages: [/^x{20000}$/] }, steps: [] })
    await t.rejects(db.call('get_run_input', { p_run_id: left!, p_attempt: 2 }), { code: 'stale_attempt' })
  })

  t.test('what should be in the queue is listed: what was given up always, the rest when it may have been lost', async t => {
    const { runIds: [queued, given, made] } = await createRuns(3)
    await claim(given!)
    await claim(made!)
    await age(given!, 'lease_until = \'-infinity\'')
    const [some, all] = [await waiting(false), await waiting(true)]
    t.same([queued, given, made].map(runId => some.includes(runId!)), [false, true, false])
    t.same([queued, given, made].map(runId => all.includes(runId!)), [true, true, false])
  })

  t.test('a run that waits for a slot for long is forsaken only where no process lives', async t => {
    const { user, runIds: [runId] } = await createRuns(1)
    await age(runId!, 'lease_until = now() - interval \'11 minutes\'')
    const owner = randomUUID()
    await db.call('heartbeat_worker', { p_owner: owner, p_lease_seconds: 60 })
    const endForsaken = async () => (await sql<{ ended: boolean }>(`select public.end_forsaken_runs('${user}') as ended`))[0]!.ended
    t.equal(await endForsaken(), false)
    await sql('delete from public.agent_workers returning owner')
    t.equal(await endForsaken(), true)
  })

  t.test('what finished steps have told is for readers who know less of it, be it a part', async t => {
    const { runIds: [runId] } = await createRuns(1)
    await claim(runId!)
    const told = { first: 1, events: ['a', 'b', 'c'].map(content => ({ type: 'chunk' as const, content })) }
    await db.call('record_step', { p_run_id: runId!, p_attempt: 1, p_number: 1, p_record: {} as never, p_step: { kind: 'model', name: 'm', startedAt: '2026-01-01T00:00:00.000Z' }, p_told: told })
    for (const [cursor, expected] of [[0, 1], [2, 1], [3, 0]] as const) {
      const runs = await db.call('get_told_steps', { p_cursors: { [runId!]: cursor } })
      t.equal(runs.length, expected, `after ${cursor}`)
      if (expected) t.same(runs[0]!.told, [told])
    }
    await age(runId!, 'attempt = 2')
    t.same(await db.call('get_told_steps', { p_cursors: { [runId!]: 0 } }), [], 'of the attempt that is made')
  })

  t.test('a run is its living owner\'s until it has ended and after, nobody\'s while it waits, is released, or its owner may be dead', async t => {
    const { runIds: [runId] } = await createRuns(1)
    const ownerOf = async (fresh = 3) => {
      const [found] = await db.call('get_run_owners', { p_run_ids: [runId!, randomUUID()], p_fresh_seconds: fresh })
      return found
    }
    t.same(await ownerOf(), { runId, owner: null, hasEnded: false }, 'it waits')
    const owner = randomUUID()
    await claim(runId!, { p_owner: owner })
    t.same(await ownerOf(), { runId, owner, hasEnded: false })
    t.same(await ownerOf(3600), { runId, owner: null, hasEnded: false }, 'its lease does not last for so long')
    await age(runId!, 'lease_until = now() - interval \'1 second\'')
    t.same(await ownerOf(), { runId, owner: null, hasEnded: false }, 'its lease has ended')
    await db.call('heartbeat_worker', { p_owner: owner, p_lease_seconds: 60 })
    t.same(await ownerOf(), { runId, owner, hasEnded: false }, 'the lease of its owner holds')
    await db.call('release_runs', { p_owner: owner, p_run_ids: [runId!] })
    t.same(await ownerOf(), { runId, owner: null, hasEnded: false }, 'it is released')
    await claim(runId!, { p_owner: owner })
    await db.call('finish_run', { p_run_id: runId!, p_attempt: 2, p_status: 'succeeded', p_response: '', p_finish_reason: null, p_usage: null, p_credits: 1, p_model: null, p_error: null })
    t.same(await ownerOf(), { runId, owner, hasEnded: true }, 'it has ended')
    await db.call('release_runs', { p_owner: owner })
    t.same(await ownerOf(), { runId, owner: null, hasEnded: true }, 'its owner is gone')
  })
}
