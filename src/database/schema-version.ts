import { ServiceError } from '#shared/errors.ts'
import { isRefusal } from '#shared/sql-errors.ts'
import type { SchemaVersion } from './functions/administration.js'
import type { Database } from './port.js'

/** The version of the database's schema that this release is written for. */
export const SCHEMA_VERSION = 5

/**
 * Whether a database can be used. `unfit` (another schema) and `refused` (no access) last until an operator changes
 * something; `away` and `read-only` pass.
 */
export interface DatabaseState {
  status: 'up' | 'away' | 'read-only' | 'refused' | 'unfit'
  /** A line for operators, without passwords and keys. */
  reason?: string
}

const MIGRATE = 'run npm run migrate -- --url <postgres url>, or execute what npm run migrate -- --print writes in the SQL editor'
/** Messages of refusals whose SQLSTATE does not show it; the last two are messages of poolers. */
const REFUSALS = /^SASL|does not support SSL|no such (database|user)|password authentication failed/

/** What an operator does about a refusal, by its code and message. */
const ADVICE: ReadonlyArray<[RegExp, string]> = [
  [/no encryption$|SSL off/, '; add sslmode=require to SUPABASE_DB_URL'],
  [/^HTTP 40[13]|^PGRST30/, '; set SUPABASE_SERVICE_ROLE_KEY to the service role key, or a secret key (sb_secret_…), of the project at SUPABASE_URL'],
  [/^42501 /, '; SUPABASE_SERVICE_ROLE_KEY must be the service role key and not the anon key, or the user in SUPABASE_DB_URL one that has the role service_role'],
  [/^HTTP /, '; SUPABASE_URL must be the project\'s URL, such as https://<project>.supabase.co'],
  [/certificate/, '; see SUPABASE_DB_CA'],
  [/^28|SASL|password/, '; write the right user and password into SUPABASE_DB_URL'],
  [/^3D|no such database/, '; write a database that exists into SUPABASE_DB_URL']
]

/** Checks whether a database answers, has a schema that fits this release, and accepts writes. Never rejects. */
export async function checkSchema (database: Database): Promise<DatabaseState> {
  try {
    return stateOfVersion(await database.call('schema_version'))
  } catch (error) {
    return stateOfError(error as Error)
  }
}

function stateOfVersion (answer: Partial<SchemaVersion> | null): DatabaseState {
  const { version = 0, oldest = version, writable = true } = answer ?? {}
  const schema = `the database's schema (version ${version})`
  if (version === 0) return lacksMigrations
  if (version < SCHEMA_VERSION) return { status: 'unfit', reason: `${schema} is older than this release needs (version ${SCHEMA_VERSION}): ${MIGRATE}` }
  if (oldest > SCHEMA_VERSION) {
    return { status: 'unfit', reason: `${schema} is newer than this release understands (version ${SCHEMA_VERSION}): deploy the newer release` }
  }
  if (!writable) return { status: 'read-only', reason: 'it can be read only: it is a standby, or default_transaction_read_only is on' }
  return { status: 'up', reason: version > SCHEMA_VERSION ? `${schema} is newer than this release (version ${SCHEMA_VERSION}), and still serves it` : undefined }
}

const lacksMigrations: DatabaseState = { status: 'unfit', reason: `the database lacks the migrations of this service: ${MIGRATE}` }

function stateOfError (error: Error): DatabaseState {
  const { code = '', message } = (error.cause ?? error) as Error & { code?: string }
  const reason = oneLine(message)
  if (error instanceof ServiceError) {
    if (error.code === 'database_not_migrated') return lacksMigrations
    if (error.code === 'database_unavailable' && !isRefusal(code) && !REFUSALS.test(message)) return { status: 'away', reason }
  }
  return { status: 'refused', reason: `the database refuses this service: ${reason}${advise(code, message)}` }
}

function advise (code: string, message: string): string {
  return ADVICE.find(([of]) => of.test(`${code} ${message}`))?.[1] ?? ''
}

function oneLine (text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 300)
}
