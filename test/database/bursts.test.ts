import { randomUUID } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import type { Run } from '#shared/schemas.ts'
import type { Database } from '../../src/database/port.js'
import { connectPostgres } from '../../src/database/postgres.js'
import { startPgbouncer } from '../support/doubles/pgbouncer.js'
import { createPostgres, DEMO_AGENT, findPostgres } from '../support/helper.js'

const USAGE = { promptTokens: 3, completionTokens: 2, totalTokens: 5, estimated: false }
const AT_ONCE = 60
/** Of the pooler: more than wait for a lock. */
const SESSIONS = 20

interface Begun { run: Run, joined: boolean }
interface Audit { problems: object[] }
interface Place { database: Database, client: pg.Client, addUser (credits: number): Promise<string> }

t.test('runs that begin and end at once', async t => {
  if (!await findPostgres(t)) return
  await t.test('by connections of its own', t => testBursts(t, async url => url))
  await t.test('by a transaction pooler that the URL tells of', t => testBursts(t, async (url, t) => {
    const pooled = await startPgbouncer(t, 'transaction', url, SESSIONS)
    pooled?.searchParams.set('pgbouncer', 'true')
    return pooled?.href
  }))
  await t.test('by a transaction pooler of which nobody knows', t => testBursts(t, async (url, t) => (await startPgbouncer(t, 'transaction', url, SESSIONS))?.href))
})

async function testBursts (t: Test, way: (url: string, t: Test) => Promise<string | undefined>): Promise<void> {
  const direct = await createPostgres(t)
  const url = await way(direct, t)
  if (!url) return
  const place = await openPlace(t, direct, url)
  const { database, client, addUser } = place

  t.test('each get what is theirs, are charged once, and share transactions', async t => {
    const users = [await addUser(1000), await addUser(1000), await addUser(1000)] as const
    const begun = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => begin(database, users[index % 3]!, { p_request_hash: `hash ${index}` })))
    const { rows } = await client.query('select id, user_id, request_hash, xmin::text as transaction from public.agent_runs where user_id = any($1)', [users])
    t.equal(rows.length, AT_ONCE)
    for (const [index, { run }] of begun.entries()) {
      t.match(rows.find(({ id }) => id === run.runId), { user_id: users[index % 3], request_hash: `hash ${index}` })
    }
    t.ok(new Set(rows.map(({ transaction }) => transaction)).size < AT_ONCE / 2, 'few transactions')
    const ended = await Promise.all(begun.map(({ run }, index) => finish(database, run, `answer ${index}`)))
    for (const [index, run] of ended.entries()) {
      t.match(run, { runId: begun[index]!.run.runId, status: 'succeeded', response: `answer ${index}`, creditsCharged: 1 })
    }
    for (const user of users) t.match(await database.call('get_credits', { p_user_id: user }), { creditsRemaining: 980, creditsReserved: 0 })
    await isSound(t, database)
  })

  t.test('and fail, fail alone', async t => {
    const [rich, poor, nobody] = [await addUser(1000), await addUser(2), randomUUID()]
    const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => outcomeOf([
      () => begin(database, rich),
      () => begin(database, poor),
      () => begin(database, rich, { p_agent_id: nobody }),
      () => begin(database, rich, { p_input: { text: 'a\0b' } })
    ][index % 4]!())))
    const count = (kind: number) => outcomes.filter((_, index) => index % 4 === kind).reduce<Record<string, number>>(
      (counts, outcome) => ({ ...counts, [outcome]: (counts[outcome] ?? 0) + 1 }), {})
    t.strictSame([0, 1, 2, 3].map(count), [{ begun: 15 }, { begun: 2, insufficient_credits: 13 }, { agent_not_found: 15 }, { begun: 15 }])
    await isSound(t, database)
  })

  t.test('by one key are one', async t => {
    const user = await addUser(1000)
    const begun = await Promise.all(Array.from({ length: AT_ONCE }, () => begin(database, user, { p_idempotency_key: 'once' })))
    t.equal(new Set(begun.map(({ run }) => run.runId)).size, 1)
    t.equal(begun.filter(({ joined }) => !joined).length, 1)
    t.match(await database.call('get_credits', { p_user_id: user }), { creditsRemaining: 999 })
  })

  t.test('do not wait for those of a user whose balance is locked', async t => {
    const [free, locked] = [await addUser(1000), await addUser(1000)]
    await client.query('begin')
    await client.query('select from public.credit_balances where user_id = $1 for update', [locked])
    const waiting: Array<Promise<unknown>> = []
    const others: Array<Promise<unknown>> = []
    for (let index = 0; index < AT_ONCE; index++) {
      if (index % 10 === 5) waiting.push(begin(database, locked))
      else others.push(begin(database, free))
    }
    let areDone = false
    Promise.all(waiting).then(() => { areDone = true }, () => { areDone = true })
    await Promise.all(others)
    t.equal(areDone, false)
    await client.query('commit')
    await Promise.all(waiting)
    t.match(await database.call('get_credits', { p_user_id: locked }), { creditsRemaining: 994, creditsReserved: 6 })
    await isSound(t, database)
  })

  t.test('whose connections break are made whole or not at all', async t => {
    const users = [await addUser(1000), await addUser(1000)] as const
    const seen = new Set<string>()
    for (let round = 0; round < 15; round++) {
      const outcomes = Promise.all(Array.from({ length: AT_ONCE }, async (_, index) => {
        const begun = await begin(database, users[index % 2]!).catch(error => error)
        return begun.run ? outcomeOf(finish(database, begun.run, 'answer')) : begun.code
      }))
      for (let kills = 0; kills < 3; kills++) {
        await client.query(`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and state = 'active'`)
      }
      for (const outcome of await outcomes) seen.add(outcome)
      await isSound(t, database)
    }
    t.strictSame([...seen].sort(), ['begun', 'database_unavailable'])
  })
}

async function openPlace (t: Test, direct: string, url: string): Promise<Place> {
  const client = new pg.Client({ connectionString: direct })
  await client.connect()
  const database = connectPostgres({ url })
  t.teardown(() => Promise.all([database.close(), client.end()]))
  return {
    database,
    client,
    async addUser (credits) {
      const id = randomUUID()
      await client.query('insert into auth.users (id, email) values ($1, $2)', [id, `${id}@jeesi.local`])
      await client.query(`insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, 'demo')
        on conflict (user_id) do update set credits_remaining = excluded.credits_remaining`, [id, credits])
      return id
    }
  }
}

function begin (database: Database, userId: string, more: object = {}): Promise<Begun> {
  return database.call('begin_run', {
    p_user_id: userId, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 60, p_idempotency_key: null, ...more
  })
}

function finish (database: Database, { runId, attempt }: Run, response: string): Promise<Run> {
  return database.call('finish_run', {
    p_run_id: runId, p_attempt: attempt, p_status: 'succeeded', p_response: response, p_finish_reason: 'stop', p_usage: USAGE, p_credits: 1, p_model: 'a/model', p_error: null
  })
}

function outcomeOf (call: Promise<unknown>): Promise<string> {
  return call.then(() => 'begun', error => error.code)
}

/** Ledger, balances and reservations agree, which an operator finds out in the same way. */
async function isSound (t: Test, database: Database): Promise<void> {
  let audit: Audit | undefined
  // A connection that was ended while it was idle is found out by who uses it.
  while (!audit) audit = await database.call('audit_credits', { p_limit: 10 }).catch(() => undefined)
  t.strictSame(audit.problems, [])
}
