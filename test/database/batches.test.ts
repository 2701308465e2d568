import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { connectPostgres } from '../../src/database/postgres.js'
import { createPostgres, DEMO_AGENT, findPostgres } from '../support/helper.js'

const AGENT = { name: 'A', model: 'a/model' }
const MB = 1_000_000

t.test('batches of what users choose the size of', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const db = connectPostgres({ url, maxConnections: 3 })
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => Promise.all([db.close(), client.end()]))
  const sql = async <R extends object = Record<string, any>>(text: string, values: unknown[] = []): Promise<R[]> => (await client.query(text, values)).rows as R[]
  /** How many bytes one call returns, in the tests that follow. */
  const setBatch = (bytes: number) => sql(`create or replace function public.batch_bytes() returns integer language sql immutable set search_path = '' as 'select ${bytes}'`)

  async function createUser (): Promise<string> {
    const user = randomUUID()
    await sql('insert into auth.users (id) values ($1)', [user])
    await sql('insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, 100, \'demo\') on conflict (user_id) do update set credits_remaining = 100', [user])
    return user
  }
  /** A run that nobody owns, whose input has so many bytes. */
  async function begin (user: string, bytes = 10): Promise<string> {
    const { run } = await db.call('begin_run', { p_user_id: user, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 0, p_waiting: true })
    await sql('update public.agent_run_inputs set input = input || jsonb_build_object(\'messages\', jsonb_build_array(jsonb_build_object(\'role\', \'user\', \'content\', repeat(\'x\', $2)))) where run_id = $1', [run.runId, bytes])
    await sql('update public.agent_run_inputs set bytes = octet_length(input::text) where run_id = $1', [run.runId])
    return run.runId
  }
  const claim = async (more: object = {}) => (await db.call('claim_runs', { p_owner: randomUUID(), p_lease_seconds: 600, p_limit: 50, ...more })).claimed.map(({ run }) => run.runId)
  const endAll = () => sql('update public.agent_runs set finished_at = now(), status = \'failed\', owner = null, lease_until = null, credits_reserved = 0 where finished_at is null')
  const finish = (runId: string, response: string, attempt = 1) => db.call('finish_run', { p_run_id: runId, p_attempt: attempt, p_status: 'succeeded', p_response: response, p_finish_reason: 'stop', p_usage: null, p_credits: 0, p_model: null, p_error: null, p_trace: [response.length] })

  t.test('thirty runs with a 9 MB image each are taken over a few at a time, and another user\'s among the first', async t => {
    const [many, other] = [await createUser(), await createUser()]
    const large = await Promise.all(Array.from({ length: 30 }, () => begin(many, 9 * MB)))
    const small = await begin(other)
    const batches: string[][] = []
    while (batches.flat().length < 31) {
      const batch = await claim()
      if (batch.length === 0) break
      batches.push(batch)
    }
    t.ok(batches[0]!.includes(small))
    t.ok(batches.every(batch => batch.length <= 5))
    t.same(batches.flat().sort(), [...large, small].sort())
    await endAll()
  })

  t.test('a run that cannot be taken rests alone, and ends after so many tries: not charged, with a reason for admins', async t => {
    const user = await createUser()
    const [bad, good] = [await begin(user, 68 * MB), await begin(user)]
    const [{ before } = {}] = await sql('select clock_timestamp() as before')
    t.same(await claim({ p_max_crashes: 3 }), [good])
    t.match((await sql('select status, crashes, lease_until >= $2::timestamptz + interval \'5 seconds\' as rests, reason from public.agent_runs left join public.agent_run_failures on run_id = id where id = $1', [bad, before]))[0],
      { status: 'queued', crashes: 1, rests: true, reason: /^It could not be taken over: The run has \d+ bytes of input and steps\.$/ })
    // However long all this takes on a busy machine.
    await sql('update public.agent_runs set lease_until = now() + interval \'1 hour\' where id = $1', [bad])
    t.same(await claim({ p_max_crashes: 3 }), [], 'it rests')
    const one = { p_run_id: bad, p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 10, p_max_crashes: 3 }
    t.same(await db.call('claim_run', one), { refused: 'unable' }, 'and is nobody\'s: the queue goes on with it')
    const wake = () => sql('update public.agent_runs set lease_until = now() - interval \'1 second\' where id = $1', [bad])
    await wake()
    t.same(await db.call('claim_run', one), { refused: 'unable' }, 'nor by its id')
    await wake()
    t.same(await claim({ p_max_crashes: 3 }), [])
    t.match(await db.call('get_run', { p_user_id: user, p_run_id: bad }), { status: 'failed', attempt: 2, creditsCharged: 0, creditsReserved: 0, error: { code: 'crashed_too_often', message: 'The run was ended: the server could not go on with it, again and again.' } })
    await endAll()
  })

  t.test('a run that its process could not make rests, and ends after so many tries', async t => {
    const user = await createUser()
    const runId = await begin(user)
    t.same(await claim(), [runId])
    t.same(await db.call('rest_run', { p_run_id: runId, p_reason: 'It could not be made: no', p_max_crashes: 2 }), { ended: false })
    t.same(await claim(), [])
    t.same(await db.call('rest_run', { p_run_id: runId, p_reason: 'again', p_max_crashes: 2 }), { ended: true })
    t.same(await db.call('rest_run', { p_run_id: runId, p_reason: 'again', p_max_crashes: 2 }), { ended: true })
    t.match(await db.call('get_run', { p_user_id: user, p_run_id: runId }), { status: 'failed', attempt: 3, error: { code: 'crashed_too_often' } },
      'of an attempt of its own, so that who has read the one before is told')
  })

  t.test('runs that wait are listed of each user in turn', async t => {
    const [many, other] = [await createUser(), await createUser()]
    for (let i = 0; i < 5; i++) await begin(many)
    const small = await begin(other)
    const { runs } = await db.call('list_waiting_runs', { p_limit: 2, p_queued: true })
    t.equal(runs[1]!.runId, small)
    await endAll()
  })

  t.test('ended runs come until there is enough, the others with the next call; what cannot be returned whole is cut', async t => {
    const user = await createUser()
    await setBatch(MB)
    const runIds = [await begin(user), await begin(user), await begin(user)]
    for (const runId of runIds) await finish(runId, 'x'.repeat(0.8 * MB))
    const first = (await db.call('get_ended_runs', { p_run_ids: runIds })).map(({ run }) => run.runId)
    t.same(first, runIds.slice(0, 2))
    t.same((await db.call('get_ended_runs', { p_run_ids: runIds.slice(2) })).map(({ run }) => run.runId), runIds.slice(2))
    // More than the 255 MiB that a JSON string may have.
    await sql('update public.agent_runs set response = repeat(\'x\', 270000000) where id = $1', [runIds[1]])
    const cut = await db.call('get_ended_runs', { p_run_ids: [runIds[1]!, runIds[2]!] })
    t.same(cut.map(({ run, trace }) => [run.response.length, trace === null]), [[100_000, true], [0.8 * MB, false]])
    const { runs } = await db.call('list_runs', { p_user_id: user, p_limit: 10 })
    t.same(runs.map(run => [run.response.length, run.responseLength]), [[500, 0.8 * MB], [500, 270_000_000], [500, 0.8 * MB]], 'nor does it keep its user from the list')
  })

  t.test('recorded steps come of each run in turn', async t => {
    const user = await createUser()
    await setBatch(MB)
    const runIds = [await begin(user), await begin(user)].sort()
    await claim()
    const told = (first: number) => ({ first, events: [{ type: 'chunk' as const, content: 'x'.repeat(0.3 * MB) }] })
    const step = { kind: 'model' as const, name: 'm', startedAt: '2026-01-01T00:00:00.000Z' }
    for (const runId of runIds) {
      for (const number of [1, 2, 3]) await db.call('record_step', { p_run_id: runId, p_attempt: 2, p_number: number, p_record: {} as never, p_step: step, p_told: told(number) })
    }
    const read = async (cursors: Record<string, number>) => Object.fromEntries((await db.call('get_told_steps', { p_cursors: cursors })).map(({ runId, told }) => [runId, told.map(({ first }) => first)]))
    t.same(await read({ [runIds[0]!]: 0, [runIds[1]!]: 0 }), { [runIds[0]!]: [1, 2], [runIds[1]!]: [1, 2] })
    t.same(await read({ [runIds[0]!]: 2, [runIds[1]!]: 2 }), { [runIds[0]!]: [3], [runIds[1]!]: [3] })
    await endAll()
  })

  const addSchedule = async (user: string, fields: Record<string, unknown> = {}): Promise<string> => {
    const row: Record<string, unknown> = { user_id: user, agent_id: DEMO_AGENT, is_enabled: true, cron_expression: '0 9 * * *', prompt_template: 'Hi', ...fields }
    const names = Object.keys(row)
    return (await sql(`insert into public.agent_schedules (${names.join(', ')}) values (${names.map((_, i) => `$${i + 1}`).join(', ')}) returning id`, Object.values(row)))[0]!.id
  }
  const addFiring = async (scheduleId: string, user: string, fields: Record<string, unknown> = {}): Promise<string> => {
    const row: Record<string, unknown> = { id: randomUUID(), schedule_id: scheduleId, agent_id: DEMO_AGENT, user_id: user, status: 'running', scheduled_for: new Date(Math.random() * 1e12), ...fields }
    const names = Object.keys(row)
    await sql(`insert into public.scheduled_runs (${names.join(', ')}) values (${names.map((_, i) => `$${i + 1}`).join(', ')})`, Object.values(row))
    return row.id as string
  }
  /** What a server whose stack is small inserts elsewhere, but cannot read. */
  const DEEP = `{"url": "https://example.com/", "body_template": ${'['.repeat(5000)}${']'.repeat(5000)}}`
  const withSmallStack = async <T>(act: () => Promise<T>): Promise<T> => {
    const name = new URL(url).pathname.slice(1)
    await sql(`alter database ${name} set max_stack_depth = '200kB'`)
    try {
      return await act()
    } finally {
      await sql(`alter database ${name} reset max_stack_depth`)
    }
  }
  const onFreshConnection = async <T>(act: (fresh: ReturnType<typeof connectPostgres>) => Promise<T>): Promise<T> => {
    const fresh = connectPostgres({ url, maxConnections: 1 })
    try {
      return await act(fresh)
    } finally {
      await fresh.close()
    }
  }

  t.test('schedules come until there is enough, and one that cannot be read keeps none from being planned', async t => {
    const user = await createUser()
    // Rows as large as that were written before there was a limit.
    await sql('alter table public.agent_schedules disable trigger bound_schedule')
    const large = await Promise.all([1, 2, 3].map(() => addSchedule(user, { prompt_template: 'é'.repeat(90_000), output_config: JSON.stringify({ x: 'y'.repeat(200_000) }) })))
    await sql('alter table public.agent_schedules enable trigger bound_schedule')
    const ids = Array.from({ length: 36 }, (_, index) => large[index % 3]!)
    const { schedules, left } = await db.call('get_schedules', { p_ids: ids })
    t.ok(schedules.length < 36 && schedules.length + left.length === 36, `${schedules.length}`)
    const [deep, plain] = [await addSchedule(user, { output_action: 'api_call', output_config: DEEP }), await addSchedule(user)]
    await withSmallStack(() => onFreshConnection(async fresh => {
      t.match((await fresh.call('get_schedules', { p_ids: [deep, plain] })).schedules, [{ id: deep, isTooLarge: true, config: null }, { id: plain, isTooLarge: false }])
    }))
    await sql('delete from public.agent_schedules')
  })

  t.test('what waits to be planned, and what is due, are listed of each user in turn', async t => {
    const [many, other] = [await createUser(), await createUser()]
    for (let i = 0; i < 5; i++) await addSchedule(many)
    const own = await addSchedule(other)
    t.equal((await db.call('list_schedules', { p_within_seconds: 75, p_limit: 2 })).unplanned[1], own)
    await sql('update public.agent_schedules set next_run_at = now() - interval \'1 hour\' where user_id = $1', [many])
    await sql('update public.agent_schedules set next_run_at = now() where user_id = $1', [other])
    const { timed } = await db.call('list_schedules', { p_within_seconds: 75, p_limit: 3 })
    t.same(timed.map(({ turn }) => turn).sort(), [1, 1, 2])
    t.match(timed.at(-1), { id: own, turn: 1 })
    await sql('delete from public.agent_schedules')
  })

  t.test('results to be sent are taken of each user in turn, five of one user with those under way, and by size', async t => {
    await setBatch(MB)
    const [many, other] = [await createUser(), await createUser()]
    const [of, ofOther] = [await addSchedule(many, { output_action: 'webhook' }), await addSchedule(other, { output_action: 'webhook' })]
    const due = (result: string, minutes: number) => ({ delivery_status: 'pending', delivery_at: new Date(Date.now() - minutes * 60_000), run_id: randomUUID(), result, completed_at: new Date() })
    for (let i = 0; i < 8; i++) await addFiring(of, many, due('x'.repeat(0.1 * MB), 10))
    const theirs = await addFiring(ofOther, other, due('x', 1))
    const take = async (sending = {}, limit = 20) => db.call('claim_deliveries', { p_lease_seconds: 60, p_limit: limit, p_sending: sending })
    t.same((await take({ [many]: 4 })).map(({ userId }) => userId).sort(), [many, other].sort())
    t.same((await take({ [many]: 5 })), [])
    t.equal((await take()).length, 5)
    await sql('update public.scheduled_runs set delivery_at = now(), result = repeat(\'x\', 600000) where schedule_id = $1', [of])
    t.equal((await take()).length, 2, 'until there are as many bytes')
    await sql('delete from public.scheduled_runs where id <> $1', [theirs])
  })

  t.test('a result that cannot be read fails by itself, after four tries for good', async t => {
    const user = await createUser()
    await sql('update public.scheduled_runs set delivery_status = \'pending\', delivery_at = now()')
    const bad = await addFiring(await addSchedule(user, { output_action: 'api_call', output_config: DEEP }), user, { delivery_status: 'pending', delivery_at: new Date(0), run_id: randomUUID(), completed_at: new Date() })
    await withSmallStack(() => onFreshConnection(async fresh => {
      for (const left of [1, 0, 0, 0]) {
        t.equal((await fresh.call('claim_deliveries', { p_lease_seconds: 60, p_limit: 20 })).length, left)
        await sql('update public.scheduled_runs set delivery_at = now() where id = $1', [bad])
      }
    }))
    t.match((await sql('select delivery_status, delivery_tries, error_message from public.scheduled_runs where id = $1', [bad]))[0], { delivery_status: 'failed', delivery_tries: 4, error_message: /cannot be read/ })
    await sql('delete from public.scheduled_runs')
  })

  t.test('firings that were left behind are taken of each user in turn, and one that cannot be ended keeps none', async t => {
    const [many, other] = [await createUser(), await createUser()]
    const [of, ofOther] = [await addSchedule(many), await addSchedule(other)]
    const left = (user: string, minutes: number) => ({ request: JSON.stringify({ userId: user, agentId: DEMO_AGENT, content: 'Hi' }), lease_until: new Date(Date.now() - minutes * 60_000), started_at: new Date() })
    for (let i = 0; i < 4; i++) await addFiring(of, many, left(many, 10))
    const theirs = await addFiring(ofOther, other, left(other, 1))
    t.equal((await db.call('claim_firings', { p_lease_seconds: -1, p_limit: 2 }))[1]!.id, theirs)
    // A project's own trigger refuses the end of a firing.
    await sql(`create function public.refuse_end () returns trigger language plpgsql as $$ begin raise exception 'no end of %', new.id; end $$;
      create trigger refuse_end before update on public.agent_schedules for each row when (old.id = '${of}') execute function public.refuse_end ()`)
    await sql(`alter table public.agent_schedules disable trigger refuse_end; update public.agent_schedules set is_enabled = false where id = '${of}'; alter table public.agent_schedules enable trigger refuse_end`)
    t.same((await db.call('claim_firings', { p_lease_seconds: 60, p_limit: 50 })).map(({ id }) => id), [theirs])
    t.same(await sql('select count(*)::integer as resting from public.scheduled_runs where schedule_id = $1 and lease_until > now()', [of]), [{ resting: 4 }])
    await sql('update public.scheduled_runs set started_at = now() - interval \'2 hours\', lease_until = now() - interval \'1 second\' where schedule_id = $1', [of])
    t.same(await db.call('claim_firings', { p_lease_seconds: 60, p_limit: 50 }), [])
    t.same(await sql('select count(*)::integer as left from public.scheduled_runs where schedule_id = $1 and request is not null', [of]), [{ left: 0 }], 'and are dropped after an hour')
    await sql('drop trigger refuse_end on public.agent_schedules; drop function public.refuse_end; delete from public.scheduled_runs; delete from public.agent_schedules')
  })

  t.test('a firing that no rule of the project lets be written keeps none from being taken, and none from being erased', async t => {
    const [user, other] = [await createUser(), await createUser()]
    const [of, ofOther] = [await addSchedule(user), await addSchedule(other)]
    const left = (userId: string) => ({ request: JSON.stringify({ userId, agentId: DEMO_AGENT, content: 'Hi' }), lease_until: new Date(0), started_at: new Date() })
    const [bad, good] = [await addFiring(of, user, left(user)), await addFiring(ofOther, other, left(other))]
    await sql(`create function public.refuse_write () returns trigger language plpgsql as $$ begin raise exception 'nothing of %', new.id; end $$;
      create trigger refuse_write before update on public.scheduled_runs for each row when (old.id = '${bad}') execute function public.refuse_write ()`)
    t.same((await db.call('claim_firings', { p_lease_seconds: 60, p_limit: 50 })).map(({ id }) => id), [good])
    await sql('drop trigger refuse_write on public.scheduled_runs; drop function public.refuse_write; delete from public.scheduled_runs')

    const over = { completed_at: new Date(0), result: 'An answer' }
    const kept = [await addFiring(of, user, over), await addFiring(of, user, over)]
    const silent = [await addFiring(of, user, over), await addFiring(of, user, over)]
    await addFiring(ofOther, other, over)
    await sql(`create function public.keep_rows () returns trigger language plpgsql as $$ begin return case when old.id in ('${kept.join("','")}') then old end; end $$;
      create trigger keep_rows before update on public.scheduled_runs for each row when (old.id in ('${[...kept, ...silent].join("','")}')) execute function public.keep_rows ()`)
    const erase = async () => (await sql('select public.erase_firings(now(), 500) as erased'))[0]!.erased
    t.same([await erase(), await erase()], [1, 0], 'what is kept in silence is not counted, or it would be asked for again and again')
    await sql('drop trigger keep_rows on public.scheduled_runs; drop function public.keep_rows; delete from public.scheduled_runs; delete from public.agent_schedules')
  })

  t.test('a run is settled though a rule of the project refuses the end of its firing, and others are taken beside one that cannot be ended', async t => {
    const user = await createUser()
    const schedule = await addSchedule(user)
    const firing = await addFiring(schedule, user, { request: JSON.stringify({ userId: user, agentId: DEMO_AGENT, content: 'Hi' }) })
    const runId = randomUUID()
    await db.call('begin_run', { p_user_id: user, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 0, p_idempotency_key: `schedule:${firing}`, p_agent: AGENT as never, p_run_id: runId })
    t.same(await claim(), [runId])
    await sql(`create function public.refuse_end () returns trigger language plpgsql as $$ begin raise exception 'no end of %', new.id; end $$;
      create trigger refuse_end before update on public.agent_schedules for each row when (old.id = '${schedule}') execute function public.refuse_end ()`)
    await finish(runId, 'An answer', 2)
    t.match(await db.call('get_run', { p_user_id: user, p_run_id: runId }), { status: 'succeeded', response: 'An answer' })
    await sql('drop trigger refuse_end on public.agent_schedules')

    const [endless, good] = [await begin(user), await begin(await createUser())]
    await sql('update public.agent_runs set crashes = 19, owner = gen_random_uuid(), status = \'running\' where id = $1', [endless])
    await sql(`create trigger refuse_end before update on public.agent_runs for each row when (old.id = '${endless}' and new.finished_at is not null) execute function public.refuse_end ()`)
    t.same(await claim(), [good])
    await sql('drop trigger refuse_end on public.agent_runs; drop function public.refuse_end; delete from public.scheduled_runs; delete from public.agent_schedules')
    await endAll()
  })

  t.test('a schedule that is refused three times in a row rests, longer each time, until a run begins or it is edited', async t => {
    const user = await createUser()
    const id = await addSchedule(user)
    const refuse = async () => {
      await sql('update public.agent_schedules set next_run_at = now() where id = $1', [id])
      const firing = await addFiring(id, user, { request: JSON.stringify({ userId: user, agentId: DEMO_AGENT, content: 'Hi' }), started_at: new Date() })
      await db.call('fail_firing', { p_id: firing, p_error: 'There are not enough credits.', p_refused: true })
      const [row] = await sql('select next_run_at, round(extract(epoch from unplanned_since - now()) / 3600)::integer as hours, last_result ->> \'error\' as error from public.agent_schedules where id = $1', [id])
      return row!
    }
    t.match([await refuse(), await refuse()], [{ hours: null }, { hours: null, next_run_at: Date }])
    t.match(await refuse(), { next_run_at: null, hours: 1, error: 'There are not enough credits. The schedule is tried again in an hour.' })
    t.match([await refuse(), await refuse()], [{ hours: 2, error: /in 2 hours/ }, { hours: 4 }])
    await sql('update public.agent_schedules set prompt_template = \'Another\' where id = $1', [id])
    t.match(await sql('select unplanned_since <= now() as waits from public.agent_schedules where id = $1', [id]), [{ waits: true }])
    await sql('update public.agent_schedules set next_run_at = now() + interval \'1 day\' where id = $1', [id])
    const firing = await addFiring(id, user, { request: JSON.stringify({ userId: user, agentId: DEMO_AGENT, content: 'Hi' }) })
    await db.call('begin_run', { p_user_id: user, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 0, p_waiting: true, p_idempotency_key: `schedule:${firing}`, p_agent: AGENT as never })
    t.match(await sql('select refusals from public.agent_schedules where id = $1', [id]), [{ refusals: 0 }])
  })

  t.test('after twenty refusals within an hour a user\'s schedules rest without a row each, and others\' are fired', async t => {
    const [poor, other] = [await createUser(), await createUser()]
    const fire = async (user: string) => {
      const id = await addSchedule(user, { next_run_at: '2026-01-01T00:00:00.000Z' })
      const firing = await db.call('fire_schedule', { p_schedule_id: id, p_due: '2026-01-01T00:00:00.000Z', p_for: '2026-01-01T00:00:00.000Z', p_next: '2099-01-01T00:00:00.000Z', p_content: 'Hi', p_lease_seconds: 60 })
      if (firing) await db.call('fail_firing', { p_id: firing.id, p_error: 'No credits.', p_refused: user === poor })
      return firing !== null
    }
    let fired = 0
    for (let i = 0; i < 30; i++) if (await fire(poor)) fired++
    t.equal(fired, 20)
    t.match(await sql('select count(*)::integer as resting from public.agent_schedules where user_id = $1 and next_run_at is null and unplanned_since > now()', [poor]), [{ resting: 10 }])
    t.equal(await fire(other), true)
    await sql('update public.schedule_refusals set since = now() - interval \'61 minutes\'')
    t.equal(await fire(poor), true, 'an hour later')
  })
})
