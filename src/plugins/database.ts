import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { MonitoredDatabase } from '../database/monitored-database.js'
import { openDatabase } from '../database/open.js'

declare module 'fastify' {
  interface FastifyInstance {
    database: MonitoredDatabase
  }
}

/** How long calls may hold up the end; longer, as a rule, than the runs take to be handed over. */
const GIVE_UP_MS = 5_000

async function database (app: FastifyInstance): Promise<void> {
  const { log, config } = app
  const { database, description } = await openDatabase(config.database, {
    // It may have gone while nobody was asking.
    onBroken: () => { watch.isUp() },
    onTransactionPooler: () => log.info('the database is behind a transaction pooler: statements are not prepared from here on')
  })
  log.info({ database: config.database.kind }, `database: ${description}`)
  const watch = new MonitoredDatabase(database, log as Logger)
  app.decorate('database', watch)
  app.addHook('preClose', async () => { setTimeout(() => watch.failPending(), GIVE_UP_MS).unref() })
  app.addHook('onClose', () => watch.close())
  try {
    await watch.connect()
  } catch (error) {
    await watch.close()
    throw error
  }
}

export default fp(database, { name: 'database' })
