import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { DatabaseConfig } from '../config.js'
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
  const { database: config } = app.config
  const connection = await connect(config, app)
  app.log.info({ database: config.kind }, `database: ${DESCRIPTIONS[config.kind]}`)
  app.decorate('database', connection)
  app.addHook('onClose', () => connection.close())
}

const DESCRIPTIONS: Record<DatabaseConfig['kind'], string> = {
  postgres: 'PostgreSQL by SUPABASE_DB_URL',
  supabase: 'Supabase by SUPABASE_URL',
  embedded: 'embedded PostgreSQL'
}

async function connect (config: DatabaseConfig, app: FastifyInstance): Promise<Database> {
  switch (config.kind) {
    case 'postgres': return connectPostgres(config.url, err => app.log.warn({ err }, 'an idle database connection broke'))
    case 'supabase': return connectSupabase(config.url, config.serviceRoleKey)
    case 'embedded': return openEmbedded(config.dataDir)
  }
}

export default fp(database, { name: 'database' })
