import { once } from 'node:events'
import pg from 'pg'
import t, { type Test } from 'tap'
import { findPostgres, POSTGRES_URL } from '../support/helper.js'

// What the service relies on that pg does not document. A test fails if a new version of pg changes it; its name says what
// it is, and which file relies on it.

/** The parts of a pg connection that src/database/function-calls.ts uses. */
interface Wire {
  stream: { cork (): void, uncork (): void, destroy (): void }
  parsedStatements: Record<string, string>
  parse (statement: { name?: string, text: string }): void
  bind (values: { statement?: string, values: unknown[], valueMapper (value: unknown): unknown }): void
  execute (): void
  sync (): void
}

/** A query that records what pg calls. */
class RecordedQuery {
  readonly calls: Array<[name: string, argument?: unknown]> = []
  callback: (error: Error | null) => void = () => {}
  readonly #done: Promise<void>
  #finish = () => {}

  constructor (private readonly send: (wire: Wire) => void, readonly name?: string, readonly text?: string, readonly query_timeout?: number) {
    this.#done = new Promise(resolve => { this.#finish = resolve })
  }

  submit (wire: Wire): void {
    this.calls.push(['submit', wire])
    this.send(wire)
    wire.sync()
  }

  handleDataRow (message: unknown): void { this.calls.push(['handleDataRow', message]) }
  handleCommandComplete (): void { this.calls.push(['handleCommandComplete']) }

  handleError (error: Error): void {
    this.calls.push(['handleError', error])
    this.#finish()
  }

  handleReadyForQuery (): void {
    this.calls.push(['handleReadyForQuery'])
    this.#finish()
  }

  async run (client: pg.Client): Promise<string[]> {
    client.query(this as never)
    await this.#done
    return this.calls.map(([name]) => name)
  }
}

const asText = (value: unknown) => value === null ? null : String(value)

async function connect (t: Test): Promise<pg.Client | undefined> {
  if (!await findPostgres(t)) return undefined
  const client = new pg.Client({ connectionString: POSTGRES_URL })
  await client.connect()
  t.teardown(() => client.end())
  return client
}

t.test('pg gives an object with `submit` its connection, which has the methods and properties of Wire (database/function-calls.ts)', async t => {
  const client = await connect(t)
  if (!client) return
  const query = new RecordedQuery(wire => {
    for (const name of ['parse', 'bind', 'execute', 'sync'] as const) t.type(wire[name], 'function', name)
    for (const name of ['cork', 'uncork', 'destroy'] as const) t.type(wire.stream[name], 'function', `stream.${name}`)
    t.type(wire.parsedStatements, Object)
  })
  await query.run(client)
  t.equal((query.calls[0]![1] as Wire), (client as unknown as { connection: Wire }).connection)
})

t.test('pg passes rows as `fields` of text, and an answer by these handlers in this order (database/function-calls.ts)', async t => {
  const client = await connect(t)
  if (!client) return
  const query = new RecordedQuery(wire => {
    wire.parse({ text: 'select $1::text, $2::int, null' })
    wire.bind({ values: ['a', 2], valueMapper: asText })
    wire.execute()
  })
  t.same(await query.run(client), ['submit', 'handleDataRow', 'handleCommandComplete', 'handleReadyForQuery'])
  t.strictSame((query.calls[1]![1] as { fields: unknown }).fields, ['a', '2', null])
})

t.test('pg sends each value as `valueMapper` returns it (database/function-calls.ts)', async t => {
  const client = await connect(t)
  if (!client) return
  const query = new RecordedQuery(wire => {
    wire.parse({ text: 'select $1::text' })
    wire.bind({ values: [1], valueMapper: value => `mapped ${value}` })
    wire.execute()
  })
  await query.run(client)
  t.strictSame((query.calls[1]![1] as { fields: unknown }).fields, ['mapped 1'])
})

t.test('pg notes the first statement that is parsed under the name and text of its query in `parsedStatements` (database/function-calls.ts)', async t => {
  const client = await connect(t)
  if (!client) return
  const { connection: { parsedStatements } } = client as unknown as { connection: Wire }
  const text = 'select 1'
  const query = new RecordedQuery(wire => {
    wire.parse({ name: 'canary', text })
    wire.parse({ text: 'select 2' })
    wire.bind({ statement: 'canary', values: [], valueMapper: asText })
    wire.execute()
  }, 'canary', text)
  await query.run(client)
  t.match(query.calls[1]![1], { fields: ['1'] })
  t.equal(parsedStatements.canary, text)
  await new RecordedQuery(wire => wire.parse({ text: 'select 3' })).run(client)
  t.strictSame(Object.keys(parsedStatements), ['canary'], 'and none without a name')
})

t.test('pg reports to `handleError` that a query has taken longer than its `query_timeout`, and replaces its callback (database/function-calls.ts)', async t => {
  const client = await connect(t)
  if (!client) return
  const query = new RecordedQuery(wire => {
    wire.parse({ text: 'select pg_sleep(0.5)' })
    wire.bind({ values: [], valueMapper: asText })
    wire.execute()
  }, undefined, undefined, 50)
  const { callback } = query
  t.same(await query.run(client), ['submit', 'handleError'])
  const error = query.calls[1]![1] as Error & { code?: string }
  t.equal(error.message, 'Query read timeout')
  t.equal(error.code, undefined, 'without a code: database/postgres.ts closes the connection')
  t.not(query.callback, callback)
})

t.test('pg reports an error to `handleError` with its SQLSTATE, and the connection goes on (database/function-calls.ts, postgres.ts)', async t => {
  const client = await connect(t)
  if (!client) return
  const query = new RecordedQuery(wire => {
    wire.parse({ text: 'select 1 / $1::int' })
    for (const value of [1, 0, 1]) {
      wire.bind({ values: [value], valueMapper: asText })
      wire.execute()
    }
  })
  const calls = await query.run(client)
  t.same(calls, ['submit', 'handleDataRow', 'handleCommandComplete', 'handleError'], 'after the calls that came before it')
  t.match(query.calls.at(-1)![1], { code: '22012' })
  t.match((await client.query('select 1 as one')).rows, [{ one: 1 }])
})

t.test('pg-pool says that a pool is full by this sentence and no code (database/postgres.ts)', async t => {
  if (!await findPostgres(t)) return
  const pool = new pg.Pool({ connectionString: POSTGRES_URL, max: 1, connectionTimeoutMillis: 2000 })
  const client = await pool.connect()
  const error: Error & { code?: string } = await pool.connect().then(() => undefined as never, error => error)
  t.equal(error.message, 'timeout exceeded when trying to connect')
  t.equal(error.code, undefined)
  client.release()
  const ended = pool.end()
  t.equal(pool.ending, true)
  await ended
})

t.test('pg-pool emits `connect` with each new connection before its first query, and closes one that is released as broken (database/postgres.ts)', async t => {
  if (!await findPostgres(t)) return
  const pool = new pg.Pool({ connectionString: POSTGRES_URL, max: 1 })
  t.teardown(() => pool.end())
  const connected: pg.PoolClient[] = []
  pool.on('connect', client => { connected.push(client) })
  const first = await pool.connect()
  t.same(connected.length, 1)
  const removed = once(pool, 'remove')
  first.release(true)
  t.equal((await removed)[0], first)
  const second = await pool.connect()
  second.release()
  t.strictSame(connected, [first, second])
})
