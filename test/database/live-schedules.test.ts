import t, { type Test } from 'tap'
import { createLive, LIVE_AGENTS, LIVE_SCHEDULES, LIVE_USERS, type LiveDatabase, SERVICE, user } from '../support/live/project.js'

t.test('schedules of a live project', async t => {
  const live = await createLive(t)
  await testTimes(t, live)
  await testRunner(t, live)
})

const { on: ID } = LIVE_SCHEDULES
const HOUR = "now() + interval '1 hour'"

/** Whether the service is at work: it looks at the schedules, as it does once a minute. */
const look = (live: LiveDatabase) => live.as(SERVICE, 'select public.list_schedules(60, 10)')
const nextOf = async (live: LiveDatabase) => (await live.query('select next_run_at as at from public.agent_schedules where id = $1', [ID]))[0]!.at as Date | null
const dueSince = (live: LiveDatabase, seconds: number) =>
  live.query("update public.agent_schedules set next_run_at = date_trunc('milliseconds', now()) - make_interval(secs => $2) where id = $1", [ID, seconds])

async function testTimes (t: Test, live: LiveDatabase): Promise<void> {
  /** Edits by SQL that leave the time of a schedule as it is. */
  const edits = ["timezone = 'Europe/Berlin'", "cron_expression = '0 18 * * *'"]

  t.test('where the platform\'s runner alone is at work no edit takes a time away, since nobody would plan another', async t => {
    await live.query(`update public.agent_schedules set next_run_at = ${HOUR} where id = $1`, [ID])
    const before = await nextOf(live)
    for (const edit of edits) {
      await live.query(`update public.agent_schedules set ${edit} where id = $1`, [ID])
      t.same(await nextOf(live), before, edit)
    }
    await dueSince(live, 60)
    const past = await nextOf(live)
    for (const isEnabled of [false, true]) await live.query('update public.agent_schedules set is_enabled = $2 where id = $1', [ID, isEnabled])
    t.same(await nextOf(live), past, 'the runner finds it due, as ever')
  })

  t.test('where the service is at work it plans what was edited, and makes up for nothing that was due while a schedule was off', async t => {
    await look(live)
    for (const edit of ["timezone = 'Asia/Tokyo'", "cron_expression = '0 17 * * *'"]) {
      await live.query(`update public.agent_schedules set next_run_at = ${HOUR} where id = $1`, [ID])
      await live.as(user(LIVE_USERS.pro), `update public.agent_schedules set ${edit} where id = $1`, [ID])
      t.equal(await nextOf(live), null, edit)
    }
    await dueSince(live, 60)
    for (const isEnabled of [false, true]) await live.query('update public.agent_schedules set is_enabled = $2 where id = $1', [ID, isEnabled])
    t.equal(await nextOf(live), null)
  })

  t.test('a service that has not looked for a quarter of an hour is at work no more', async t => {
    await live.query("update public.schedule_looks set looked_at = now() - interval '16 minutes'")
    await live.query(`update public.agent_schedules set next_run_at = ${HOUR} where id = $1`, [ID])
    await live.query("update public.agent_schedules set timezone = 'UTC' where id = $1", [ID])
    t.not(await nextOf(live), null)
    await look(live)
    await live.query("update public.agent_schedules set timezone = 'Asia/Tokyo' where id = $1", [ID])
    t.equal(await nextOf(live), null, 'until it looks again')
  })
}

async function testRunner (t: Test, live: LiveDatabase): Promise<void> {
  const begin = async () => (await live.as(SERVICE, "insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, started_at) values ($1, $2, $3, 'running', now()) returning id",
    [ID, LIVE_AGENTS.writer, LIVE_USERS.pro]))[0]!.id as string
  const end = (run: string, status: string) => live.as(SERVICE, 'update public.scheduled_runs set status = $2, completed_at = now() where id = $1', [run, status])
  const fire = async () => (await live.as(SERVICE, `select public.fire_schedule(id, date_trunc('milliseconds', next_run_at), date_trunc('milliseconds', next_run_at), ${HOUR}, 'Hello', 60) as firing
    from public.agent_schedules where id = $1`, [ID]))[0]!.firing as object | null

  t.test('what the platform\'s runner has fired is not fired again before it has moved the schedule, which it does after its row', async t => {
    await dueSince(live, 1)
    const run = await begin()
    t.equal(await fire(), null, 'it asks the model')
    await end(run, 'completed')
    t.equal(await fire(), null, 'it is about to move the schedule')
    await live.query("update public.scheduled_runs set started_at = started_at - interval '11 minutes' where id = $1", [run])
    await dueSince(live, 720)
    t.match(await fire(), { scheduleId: ID }, 'it died before it did so')
  })

  t.test('what the runner could not fire the service does', async t => {
    await dueSince(live, 1)
    await live.query('delete from public.scheduled_runs')
    await end(await begin(), 'failed')
    t.match(await fire(), { scheduleId: ID })
  })
}
