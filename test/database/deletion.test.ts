import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import { createPostgres, DEMO_AGENT, findPostgres } from '../support/helper.js'
import { until } from '../support/until.js'

t.test('a user is deleted', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const [one, other, watcher] = await Promise.all([connect(t, url), connect(t, url), connect(t, url)])
  const begin = (client: pg.Client, user: string) => client.query('select public.begin_run($1, $2, \'x\', \'{"messages": []}\', gen_random_uuid(), 60, null, \'{}\') -> \'run\' ->> \'runId\' as id', [user, DEMO_AGENT])
  const waiting = async (client: pg.Client) => {
    await client.query('select pg_stat_clear_snapshot()')
    return (await client.query("select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")).rowCount
  }
  const isWaiting = async () => (await waiting(watcher))! > 0

  t.test('while an uncharged run of theirs begins: the deletion waits for it, and leaves none of its texts', async t => {
    const user = await createUser(one)
    await one.query('begin')
    const { rows: [{ id }] } = await begin(one, user)
    const deleting = other.query('delete from auth.users where id = $1', [user])
    await until(isWaiting, Boolean)
    await one.query('commit')
    await deleting
    t.equal((await one.query('select from public.agent_run_inputs where run_id = $1', [id])).rowCount, 0)
    t.match((await one.query('select status, erased from public.agent_runs where id = $1', [id])).rows, [{ status: 'cancelled', erased: true }])
  })

  t.test('and a run that begins meanwhile is refused at once', async t => {
    const user = await createUser(one)
    await one.query('begin')
    await one.query('delete from auth.users where id = $1', [user])
    await t.rejects(begin(other, user), { code: 'PT401', hint: 'unauthorized' })
    await one.query('rollback')
    await begin(other, user)
  })

  t.test('beside the end of a run, without a deadlock', async t => {
    const user = await createUser(one)
    await one.query("insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, 50, 'demo')", [user])
    const { rows: [{ id }] } = await one.query('select public.begin_run($1, $2, \'x\', \'{"messages": []}\', gen_random_uuid(), 60) -> \'run\' ->> \'runId\' as id', [user, DEMO_AGENT])
    // Another has the balance, so that the end of the run waits for it with the run in hand, and the deletion for both.
    await watcher.query('begin')
    await watcher.query('select from public.credit_balances where user_id = $1 for update', [user])
    const finishing = one.query("select public.finish_run($1, 1, 'succeeded', 'Hello', 'stop', null, 1, 'm', null) as run", [id])
    await until(async () => (await waiting(watcher)) === 1, Boolean)
    const deleting = other.query('delete from auth.users where id = $1', [user])
    await until(async () => (await waiting(watcher)) === 2, Boolean)
    await watcher.query('commit')
    t.match((await finishing).rows, [{ run: { status: 'succeeded', creditsCharged: 1 } }])
    await deleting
    t.match((await one.query('select response, erased from public.agent_runs where id = $1', [id])).rows, [{ response: '', erased: true }])
  })
})

async function connect (t: Test, connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

async function createUser (client: pg.Client): Promise<string> {
  const id = randomUUID()
  await client.query('insert into auth.users (id) values ($1)', [id])
  return id
}
