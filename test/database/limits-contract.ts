import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { Database } from '../../src/database/port.js'
import { untyped } from '../support/database.js'
import { DEMO_AGENT } from '../support/helper.js'

const A_MINUTE = { code: 'plan_limit_reached', statusCode: 429, retryAfter: 60 }
const AN_HOUR = { ...A_MINUTE, retryAfter: 3600 }

/** What every driver has to do for the limits by plan, on the database of the contract suite. */
export async function testLimits (t: Test, db: Database): Promise<void> {
  const sql = <Row>(text: string) => untyped(db)<Row[]>('test_sql', { p_sql: text })
  const begin = (userId: string, more: object = {}) => db.call('begin_run', {
    p_user_id: userId, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 60, ...more
  })
  const end = ({ run: { runId, attempt } }: Awaited<ReturnType<typeof begin>>, credits: number) => db.call('finish_run', {
    p_run_id: runId, p_attempt: attempt, p_status: credits ? 'succeeded' : 'failed', p_response: 'Hi', p_finish_reason: 'stop', p_usage: null, p_credits: credits, p_model: 'm', p_error: null
  })
  const beginMany = async (userId: string, count: number) => { for (let i = 0; i < count; i++) await begin(userId) }
  /** Entries as callers write them that are not this service. */
  const use = (userId: string, count: number, age = '0') => sql(`insert into public.credit_usage (user_id, credits_used, operation_type, created_at)
    select '${userId}', 1, 'agent_chat', now() - interval '${age} seconds' from generate_series(1, ${count}) returning id`)
  async function createUser (plan: string, credits = 1000): Promise<string> {
    const id = randomUUID()
    await sql(`insert into auth.users (id) values ('${id}') returning id`)
    await sql(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ('${id}', ${credits}, '${plan}') returning id`)
    return id
  }

  t.test('a plan\'s runs a minute are counted while they are under way, and refused beyond with the seconds to wait', async t => {
    const user = await createUser('free')
    await beginMany(user, 5)
    await t.rejects(begin(user), { ...A_MINUTE, message: 'Your plan allows 5 runs a minute: try again in a minute.' })
    t.match(await db.call('get_credits', { p_user_id: user }), { creditsRemaining: 995, creditsReserved: 5 }, 'nothing is held for it')
    await sql(`update public.agent_runs set created_at = now() - interval '61 seconds' where user_id = '${user}' returning id`)
    await begin(user)
  })

  t.test('a run counts by its entry when it is settled, and no more if it cost nothing', async t => {
    const user = await createUser('free')
    for (let i = 0; i < 6; i++) await end(await begin(user), 0)
    for (let i = 0; i < 5; i++) await end(await begin(user), 1)
    await t.rejects(begin(user), A_MINUTE)
    await sql(`update public.credit_usage set created_at = now() - interval '61 seconds' where user_id = '${user}' returning id`)
    await begin(user)
  })

  t.test('an hour is counted as well, of whoever else entered use', async t => {
    const user = await createUser('free')
    await use(user, 49, '3599')
    await use(user, 20, '3601')
    await begin(user)
    await t.rejects(begin(user), { ...AN_HOUR, message: 'Your plan allows 50 runs an hour: try again later.' })
    await use(user, 5)
    await t.rejects(begin(user), AN_HOUR, 'the longer wait is told')
  })

  t.test('each plan has its own limits; one without a row is free, and demo has none', async t => {
    t.same(await sql('select plan_type, runs_per_minute, runs_per_hour from public.plan_limits order by runs_per_minute'), [
      ['free', 5, 50], ['starter', 15, 200], ['pro', 30, 500], ['business', 60, 1000], ['businessplus', 120, 2500], ['enterprise', 300, 10000], ['demo', null, null]
    ].map(([plan_type, runs_per_minute, runs_per_hour]) => ({ plan_type, runs_per_minute, runs_per_hour })))
    for (const [plan, minute, hour] of [['starter', 15, 200], ['basic', 5, 50], ['nobody knows', 5, 50]] as const) {
      const [frequent, steady] = [await createUser(plan), await createUser(plan)]
      await use(frequent, minute - 1)
      await begin(frequent)
      await t.rejects(begin(frequent), A_MINUTE, plan)
      await use(steady, hour - 1, '61')
      await begin(steady)
      await t.rejects(begin(steady), AN_HOUR, plan)
    }
    const demo = await createUser('demo')
    await use(demo, 400)
    await begin(demo)
  })

  t.test('the operator changes them: null means any number', async t => {
    await sql("insert into public.plan_limits (plan_type, runs_per_minute) values ('trial', 1) returning plan_type")
    const user = await createUser('trial')
    await use(user, 100, '61')
    await begin(user)
    await t.rejects(begin(user), A_MINUTE)
    await sql("update public.plan_limits set runs_per_minute = null where plan_type = 'trial' returning plan_type")
    await begin(user)
  })

  t.test('concurrent requests do not slip through', async t => {
    const user = await createUser('free')
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => begin(user)))
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 5)
    for (const result of results) if (result.status === 'rejected') t.match(result.reason, A_MINUTE)
  })

  t.test('a repeated idempotency key joins its run and counts once, also beyond the limit', async t => {
    const user = await createUser('free')
    for (let i = 0; i < 6; i++) await begin(user, { p_idempotency_key: 'once' })
    await beginMany(user, 4)
    await t.rejects(begin(user), A_MINUTE)
    t.match(await begin(user, { p_idempotency_key: 'once' }), { joined: true })
  })

  t.test('who has checked the user elsewhere is not limited again, nor counted', async t => {
    const user = await createUser('free')
    for (let i = 0; i < 6; i++) await begin(user, { p_agent: { name: 'A' } })
    await beginMany(user, 5)
    await begin(user, { p_agent: { name: 'A' } })
    await t.rejects(begin(user), A_MINUTE)
  })

  t.test('the firing of a schedule is not refused, though it counts; a key that only looks so is', async t => {
    const user = await createUser('free')
    await beginMany(user, 5)
    const [{ id }] = await sql<{ id: string }>(`insert into public.agent_schedules (agent_id, user_id) values ('${DEMO_AGENT}', '${user}') returning id`) as [{ id: string }]
    const [{ id: firing }] = await sql<{ id: string }>(`insert into public.scheduled_runs (schedule_id, status, request)
      values ('${id}', 'running', '{"userId": "${user}"}') returning id`) as [{ id: string }]
    await t.rejects(begin(user, { p_idempotency_key: `schedule:${randomUUID()}` }), A_MINUTE)
    await t.rejects(begin(await filled(), { p_idempotency_key: `schedule:${firing}` }), A_MINUTE, 'that of another user')
    await begin(user, { p_idempotency_key: `schedule:${firing}` })
    await sql(`delete from public.agent_schedules where id = '${id}' returning id`)

    async function filled (): Promise<string> {
      const other = await createUser('free')
      await use(other, 5)
      return other
    }
  })
}
