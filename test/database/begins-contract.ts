import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { BeginRun } from '#shared/database/functions.ts'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'
import { DEMO_AGENT } from '../support/helper.js'

/** What every driver has to do with calls that begin runs and are made again, on the database of the contract suite. */
export async function testBegins (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const owner = randomUUID()
  const change = (runId: string, set: string) => sql(`update public.agent_runs set ${set} where id = '${runId}' returning id`)

  /** A user with some credits, and a call that begins a run of theirs. */
  async function prepare (more: Partial<BeginRun> = {}, credits = 1): Promise<BeginRun & { p_run_id: string }> {
    const user = randomUUID()
    await sql(`insert into auth.users (id) values ('${user}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${user}', ${credits}, 'demo') returning id`)
    return {
      p_user_id: user,
      p_agent_id: DEMO_AGENT,
      p_request_hash: 'hash',
      p_input: { messages: [] },
      p_owner: owner,
      p_lease_seconds: 60,
      p_idempotency_key: null,
      ...more,
      p_run_id: randomUUID()
    }
  }

  t.test('a begin that is made again with the same id is the same run, which its caller makes, and is paid for once', async t => {
    for (const more of [{}, { p_idempotency_key: 'a key' }, { p_owner: null, p_lease_seconds: 0, p_waiting: true }]) {
      const args = await prepare(more)
      const first = await db.call('begin_run', args)
      t.match(first, { joined: false, run: { runId: args.p_run_id, creditsReserved: 1 } })
      t.same(await db.call('begin_run', args), first, JSON.stringify(more))
      t.match(await db.call('get_credits', { p_user_id: args.p_user_id }), { creditsRemaining: 0, creditsReserved: 1 })
    }
  })

  t.test('begins with the same id that are made at once are one run', async t => {
    const args = await prepare({ p_idempotency_key: 'a key' }, 5)
    const begun = await Promise.all(Array.from({ length: 5 }, () => db.call('begin_run', args)))
    t.same(begun.map(({ joined, run }) => [joined, run.runId]), Array(5).fill([false, args.p_run_id]))
    t.match(await db.call('get_credits', { p_user_id: args.p_user_id }), { creditsRemaining: 4, creditsReserved: 1 })
  })

  t.test('a request and its repetition without a key are one run, whichever begins first, and equal requests are two', async t => {
    const FIRST = { p_is_repeated: false, p_waited_ms: 60_000 }
    const AGAIN = { p_is_repeated: true, p_waited_ms: 0 }
    const args = await prepare({}, 100)
    const begin = (more: Partial<BeginRun>) => db.call('begin_run', { ...args, ...more, p_run_id: randomUUID() })
    const first = await begin(FIRST)
    t.match([first, await begin(AGAIN), await begin(AGAIN)], [{ joined: false }, { joined: true, run: { runId: first.run.runId } }, { joined: true }])

    const other = { p_request_hash: 'another hash' }
    const again = await begin({ ...AGAIN, ...other })
    t.match(await begin({ ...FIRST, ...other }), { joined: true, run: { runId: again.run.runId } }, 'it has waited for a minute, and its repetition was faster')
    t.match(await begin({ ...FIRST, ...other, p_waited_ms: 0 }), { joined: false }, 'it has only just arrived: it asks once more')
    t.match([await begin({ ...FIRST, p_request_hash: 'a third' }), await begin({ ...FIRST, p_request_hash: 'a third' })], [{ joined: false }, { joined: false }])

    for (let turn = 0; turn < 10; turn++) {
      const hash = { p_request_hash: `turn ${turn}` }
      const begun = await Promise.all([begin({ ...FIRST, ...hash }), begin({ ...AGAIN, ...hash }), begin({ ...AGAIN, ...hash })])
      t.equal(new Set(begun.map(({ run }) => run.runId)).size, 1, 'at once')
    }
    t.match(await db.call('get_credits', { p_user_id: args.p_user_id }), { creditsReserved: 15 })
  })

  t.test('a begin that is made again has its lease anew: nobody else takes the run meanwhile', async t => {
    const args = await prepare()
    await db.call('begin_run', args)
    await db.call('release_runs', { p_owner: owner, p_run_ids: [args.p_run_id] })
    t.match(await db.call('begin_run', args), { joined: false })
    const claim = { p_run_id: args.p_run_id, p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 10 }
    t.same(await db.call('claim_run', claim), { refused: 'owned' })
  })

  t.test('a run that another process has meanwhile, or that has ended, is only followed', async t => {
    const args = await prepare({}, 10)
    const { p_run_id: runId } = args
    await db.call('begin_run', args)
    t.match(await db.call('begin_run', { ...args, p_owner: randomUUID() }), { joined: true })
    await change(runId, "lease_until = '-infinity'")
    // The same process may have claimed it as one whose begin was never answered.
    await db.call('claim_run', { p_run_id: runId, p_owner: owner, p_lease_seconds: 60, p_max_per_user: 10 })
    t.match(await db.call('begin_run', args), { joined: true, run: { attempt: 2 } })
    const ended = await prepare()
    await db.call('begin_run', ended)
    await change(ended.p_run_id, "lease_until = '-infinity'")
    await db.call('cancel_run', { p_user_id: ended.p_user_id, p_run_id: ended.p_run_id })
    t.match(await db.call('begin_run', ended), { joined: true, run: { status: 'cancelled' } })
  })

  t.test('the id of another user\'s run begins nothing', async t => {
    const args = await prepare()
    await db.call('begin_run', args)
    const other = await prepare()
    await t.rejects(db.call('begin_run', { ...other, p_run_id: args.p_run_id }), { code: 'internal_error' })
    t.match(await db.call('get_credits', { p_user_id: other.p_user_id }), { creditsRemaining: 1, creditsReserved: 0 })
  })

  t.test('an adoption that is made again is the same process\'s, and another call\'s is not', async t => {
    const { p_run_id: runId, p_user_id: user, ...rest } = await prepare({ p_owner: null, p_lease_seconds: 0, p_waiting: true })
    await db.call('begin_run', { ...rest, p_run_id: runId, p_user_id: user })
    const adoption = { p_user_id: user, p_run_id: runId, p_owner: owner, p_lease_seconds: 60 }
    t.match(await db.call('adopt_run', adoption), { joined: false, run: { status: 'running' } })
    t.match(await db.call('adopt_run', adoption), { joined: true })
    t.match(await db.call('adopt_run', { ...adoption, p_repeated: true }), { joined: false, run: { attempt: 1 } })
    t.match(await db.call('adopt_run', { ...adoption, p_owner: randomUUID(), p_repeated: true }), { joined: true })
  })

  t.test('a reservation counts the prompt where tokens cost something: what it would not cover is refused', async t => {
    await sql("insert into public.model_rates values ('by/tokens', 1, 1) on conflict (model) do nothing returning model")
    const price = async (credits: number, tokens: number, texts = '') => {
      const args = await prepare({ p_models: ['by/tokens'], p_prompt_tokens: tokens }, credits)
      const [agent] = await sql<{ id: string }>(`insert into public.agents (user_id, name, purpose, ai_model, max_tokens, system_prompt, knowledge_base)
        values ('${args.p_user_id}', 'A', 'To be run.', null, 500, '${texts}', '${JSON.stringify(texts ? [texts] : [])}') returning id`)
      return (await db.call('begin_run', { ...args, p_agent_id: agent!.id })).run.creditsReserved
    }
    t.equal(await price(10, 0), 2, 'half a thousand tokens of the answer')
    t.equal(await price(10, 1500), 3)
    t.equal(await price(10, 1501), 4, 'the answer and the prompt are rounded up together')
    t.equal(await price(10, 0, 'x'.repeat(4000)), 4, 'the agent\'s own texts are part of the prompt')
    await t.rejects(price(20, 500_000), { code: 'insufficient_credits', message: 'There are not enough credits (needed: 502, left: 20).' })
    t.equal(await price(502, 500_000), 502)
    t.equal(await price(10, -5), 2, 'no prompt is less than none')
  })
}
