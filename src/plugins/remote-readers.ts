import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { pollDatabase } from '../database/poll-database.js'
import { RemoteReaders } from '../executor/run/remote-readers.js'

const ROUND_MS = 1_000

/** Readers here of runs that another process makes. */
async function remoteReaders (app: FastifyInstance): Promise<void> {
  const { database, events, executor, redis, log } = app
  const readers = new RemoteReaders({
    database,
    events,
    executor,
    hasRedis: redis !== undefined,
    isStreaming: () => redis?.link.isUp === true,
    log
  })
  app.shutdown.on('remoteReaders', pollDatabase(database, log, ROUND_MS, () => readers.feed()))
}

export default fp(remoteReaders, { name: 'remote-readers', dependencies: ['database', 'events', 'executor', 'redis', 'shutdown'] })
