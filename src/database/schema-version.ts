import { ServiceError } from '#shared/errors.ts'
import { isRefusal } from '#shared/sql-errors.ts'
import type { SchemaVersion } from './functions/administration.js'
import type { Database } from './port.js'

/** The version of supabase/migrations that this code is written for. */
export const SCHEMA_VERSION = 4

/**
 * What became of asking a database whether it is there and fits. `unfit` and `refused` are for an operator to mend; the
 * others go by.
 */
export interface Finding {
  state: 'up' | 'away' | 'read-only' | 'refused' | 'unfit'
  /** A line for people, where there is something to say; without passwords and keys. */
  why?: string
}

const MIGRATE = 'run npm run migrate -- --url <postgres url> (or supabase db push)'
/** Refusals whose SQLSTATE, if they have one, does not tell; the last two are poolers'. */
const REFUSALS = /^SASL|does not support SSL|no such (database|user)|password authentication failed/

/** Asks a database for its version; never rejects. */
export async function examine (database: Database): Promise<Finding> {
  try {
    return judge(await database.call('schema_version'))
  } catch (error) {
    return explain(error as Error)
  }
}

function judge (answer: Partial<SchemaVersion> | null): Finding {
  const { version = 0, oldest = version, writable = true } = answer ?? {}
  const its = `the database's schema (version ${version})`
  if (version === 0) return lacksMigrations
  if (version < SCHEMA_VERSION) return { state: 'unfit', why: `${its} is older than this release needs (version ${SCHEMA_VERSION}): ${MIGRATE}` }
  if (oldest > SCHEMA_VERSION) {
    return { state: 'unfit', why: `${its} is newer than this release understands (version ${SCHEMA_VERSION}): deploy the newer release` }
  }
  if (!writable) return { state: 'read-only', why: 'it can be read only: it is a standby, or default_transaction_read_only is on' }
  return { state: 'up', why: version > SCHEMA_VERSION ? `${its} is newer than this release (version ${SCHEMA_VERSION}), and still serves it` : undefined }
}

const lacksMigrations: Finding = { state: 'unfit', why: `the database lacks the migrations of this service: ${MIGRATE}` }

function explain (error: Error): Finding {
  const { code = '', message } = (error.cause ?? error) as Error & { code?: string }
  const why = oneLine(message)
  if (error instanceof ServiceError) {
    if (error.code === 'database_not_migrated') return lacksMigrations
    if (error.code === 'database_unavailable' && !isRefusal(code) && !REFUSALS.test(message)) return { state: 'away', why }
  }
  return { state: 'refused', why: `the database refuses this service: ${why}${advise(code, message)}` }
}

function advise (code: string, message: string): string {
  if (/no encryption$|SSL off/.test(message)) return '; add sslmode=require to SUPABASE_DB_URL'
  if (/^HTTP 40[13]|^PGRST30/.test(code)) return '; see SUPABASE_SERVICE_ROLE_KEY'
  if (/^HTTP /.test(code)) return '; see SUPABASE_URL'
  if (/certificate/.test(message)) return '; see SUPABASE_DB_CA'
  return ''
}

function oneLine (text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 300)
}
