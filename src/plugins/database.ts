import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { MonitoredDatabase } from '../database/monitored-database.js'
import { openDatabase } from '../database/open.js'
import { DATABASE_CALLS_MS } from '../shutdown.js'

declare module 'fastify' {
  interface FastifyInstance {
    database: MonitoredDatabase
  }
}

async function databasePlugin (app: FastifyInstance): Promise<void> {
  const { log, config } = app
  const { database, description } = await openDatabase(config.database, {
    // The connection may have broken while no call was under way.
    onBroken: () => { monitored.isUp() },
    onTransactionPooler: () => log.info('the database is behind a transaction pooler: statements are not prepared from here on')
  })
  log.info({ database: config.database.kind }, `database: ${description}`)
  const monitored = new MonitoredDatabase(database, log as Logger)
  app.decorate('database', monitored)
  app.shutdown.on('databaseCalls', () => { setTimeout(() => monitored.failPending(), DATABASE_CALLS_MS).unref() })
  app.shutdown.on('database', () => monitored.close())
  try {
    await monitored.connect()
  } catch (error) {
    await monitored.close()
    throw error
  }
}

export default fp(databasePlugin, { name: 'database', dependencies: ['shutdown'] })
