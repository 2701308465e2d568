import type { DatabaseConfig } from '../config/backing-services.js'
import { readConnectionUrl } from './connection-url.js'
import type { Database } from './port.js'
import type { PostgresOptions } from './postgres.js'

export interface Opened {
  database: Database
  /** Which database it is, for operators; without user and password. */
  description: string
}

/**
 * Opens the configured database, whether it can be reached or not, and loads only its driver.
 * @throws {UnfitDatabaseError} if its URL is invalid. @throws {DirectoryLockedError} if another process uses its directory.
 */
export async function openDatabase (config: DatabaseConfig, hooks: Pick<PostgresOptions, 'onBroken' | 'onTransactionPooler'> = {}): Promise<Opened> {
  switch (config.kind) {
    case 'postgres': {
      const { connectPostgres } = await import('./postgres.js')
      const { description } = readConnectionUrl(config.url, config.ca)
      return {
        database: connectPostgres({ ...config, ...hooks }),
        description: `PostgreSQL at SUPABASE_DB_URL, ${description}, at most ${config.maxConnections + 1} connections`
      }
    }
    case 'supabase': {
      const { connectSupabase } = await import('./supabase.js')
      return { database: connectSupabase(config.url, config.serviceRoleKey), description: 'Supabase at SUPABASE_URL' }
    }
    case 'embedded': {
      const { openEmbedded } = await import('./embedded.js')
      return { database: await openEmbedded(config.dataDir, config.hasDemo), description: 'embedded PostgreSQL' }
    }
  }
}
