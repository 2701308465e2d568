import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { readConnectionUrl } from '../database/connection-url.js'
import { openEmbedded } from '../database/embedded.js'
import type { Database } from '../database/port.js'
import { connectPostgres } from '../database/postgres.js'
import { connectSupabase } from '../database/supabase.js'
import { Watch } from '../database/watch.js'

declare module 'fastify' {
  interface FastifyInstance {
    database: Watch
  }
}

async function database (app: FastifyInstance): Promise<void> {
  const watch = new Watch(await connect(app, () => { watch.isUp() }), app.log as Logger)
  app.decorate('database', watch)
  app.addHook('onClose', () => watch.close())
  try {
    await watch.meet()
  } catch (error) {
    await watch.close()
    throw error
  }
}

/** @param onDoubt - called where a database may have gone that nobody is asking */
async function connect (app: FastifyInstance, onDoubt: () => void): Promise<Database> {
  const { log, config: { database: config } } = app
  const say = (description: string) => log.info({ database: config.kind }, `database: ${description}`)
  switch (config.kind) {
    case 'postgres': {
      const { description } = readConnectionUrl(config.url, config.ca)
      const connection = connectPostgres({
        ...config,
        onBroken: onDoubt,
        onTransactionPooler: () => log.info('the database is behind a transaction pooler: statements are not prepared from here on')
      })
      say(`PostgreSQL by SUPABASE_DB_URL, ${description}, at most ${config.maxConnections + 1} connections`)
      return connection
    }
    case 'supabase':
      say('Supabase by SUPABASE_URL')
      return connectSupabase(config.url, config.serviceRoleKey)
    case 'embedded': {
      const connection = await openEmbedded(config.dataDir)
      say('embedded PostgreSQL')
      return connection
    }
  }
}

export default fp(database, { name: 'database' })
