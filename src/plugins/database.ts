import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { readConnectionUrl } from '../database/connection-url.js'
import { openEmbedded } from '../database/embedded.js'
import type { Database } from '../database/port.js'
import { connectPostgres } from '../database/postgres.js'
import { connectSupabase } from '../database/supabase.js'

declare module 'fastify' {
  interface FastifyInstance {
    database: Database
  }
}

async function database (app: FastifyInstance): Promise<void> {
  const connection = await connect(app)
  app.decorate('database', connection)
  app.addHook('onClose', () => connection.close())
}

async function connect (app: FastifyInstance): Promise<Database> {
  const { log, config: { database: config } } = app
  const say = (description: string) => log.info({ database: config.kind }, `database: ${description}`)
  switch (config.kind) {
    case 'postgres': {
      const { description } = readConnectionUrl(config.url, config.ca)
      const connection = connectPostgres({
        ...config,
        onBroken: err => log.warn({ err }, 'an idle database connection broke'),
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
