import { EventEmitter, once } from 'node:events'
import t, { type Test } from 'tap'
import { translateError } from '#shared/sql-errors.ts'
import { MonitoredDatabase } from '../../src/database/monitored-database.js'
import { pollDatabase } from '../../src/database/poll-database.js'
import { SCHEMA_VERSION } from '../../src/database/schema-version.js'

const FITS = { version: SCHEMA_VERSION, oldest: 1, writable: true }
const AWAY = translateError({ code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' })
const FAILED_ROUND = 'the database could not be asked: it is asked again and again'

/** A task that is polled, whose rounds the test ends, on a database whose state the test sets. */
async function startPolling (t: Test, state: unknown) {
  const lines: string[] = []
  const log = (line: unknown, message?: string) => { lines.push(message ?? line as string) }
  const database = {
    state,
    async call () { if (database.state instanceof Error) throw database.state; return database.state as any },
    async close () {}
  }
  const monitored = new MonitoredDatabase(database, { info: log, warn: log, error: log } as never)
  await monitored.connect()
  const rounds = new EventEmitter()
  const nextRound = async (): Promise<(error?: Error) => void> => (await once(rounds, 'round'))[0]
  const first = nextRound()
  const stop = pollDatabase(monitored, { warn: log } as never, 1, () => new Promise<void>((resolve, reject) => {
    rounds.emit('round', (error?: Error) => error ? reject(error) : resolve())
  }))
  // What waits keeps no process alive, and here there is nothing else.
  const alive = setInterval(() => {}, 1000)
  t.teardown(async () => {
    await Promise.all([stop(), monitored.close()])
    clearInterval(alive)
  })
  /** Ends the round that is under way; resolves with the end of the next one, when what the first had to say is said. */
  const finish = (end: (error?: Error) => void, error?: Error) => { const next = nextRound(); end(error); return next }
  return { database, monitored, lines, first: await first, finish }
}

t.test('a round that began while the database was away, and fails after it has come, is not reported', async t => {
  const { database, monitored, lines, first, finish } = await startPolling(t, AWAY)
  database.state = FITS
  t.equal(await monitored.isUp(), true)
  await finish(first, AWAY)
  t.same(lines, ['waiting for the database: connect ECONNREFUSED', 'the database is there'])
})

t.test('rounds that fail while the database is there are reported once, until one succeeds', async t => {
  const { lines, first, finish } = await startPolling(t, FITS)
  const second = await finish(first, AWAY)
  const third = await finish(second, AWAY)
  t.same(lines, [FAILED_ROUND])
  const fourth = await finish(third)
  await finish(fourth, AWAY)
  t.same(lines, [FAILED_ROUND, FAILED_ROUND])
})
