import { signAccessToken, readJwtSecret } from '../../auth/access-token.js'
import { OPERATOR } from '../../administration/administration.js'
import { type DatabaseSettings, loadDatabase } from '../../config/config.js'
import { DirectoryLockedError, readAddress } from '../../database/directory-lock.js'
import { openDatabase } from '../../database/open.js'
import { checkSchema } from '../../database/schema-version.js'
import type { Backend } from './backend.js'
import { connectDirectly } from './direct.js'
import { connectService } from './service.js'
import { UsageError } from './subcommands.js'

const DEMO_USER = '11111111-1111-4111-8111-111111111111'

/** The option of what asks a service. */
export const SERVICE = {
  service: { type: 'string', value: '<url>', does: 'asks this service instead of the database, with a token signed by SUPABASE_JWT_SECRET' }
} as const

/**
 * Opens what the variables configure: the database, or the service that has locked the embedded one.
 * @param service the URL of a service to ask instead.
 * @throws {Error} a sentence for operators.
 */
async function openBackend (service?: string): Promise<Backend> {
  const settings = loadDatabase()
  if (service !== undefined) return atService(service, settings)
  try {
    const { database } = await openDatabase(settings.database)
    const { status, reason } = await checkSchema(database)
    if (status === 'up') return connectDirectly(database)
    await database.close()
    throw new Error(reason)
  } catch (error) {
    if (!(error instanceof DirectoryLockedError) || settings.database.kind !== 'embedded') throw error
    const url = await readAddress(settings.database.dataDir, error.pid)
    if (!url) throw error
    return atService(url, settings)
  }
}

/** The user whose agents and keys are meant. @throws {UsageError} where there is no demo user. */
export function chooseUser (given: string | undefined): string {
  if (given !== undefined) return given
  const { database } = loadDatabase()
  if (database.kind === 'embedded' && database.hasDemo) return DEMO_USER
  throw new UsageError('Whose? Name the user with --user <id>')
}

/** Opens what is configured, and closes it when `use` has ended. */
export async function withBackend<T> (service: string | undefined, use: (backend: Backend) => Promise<T>): Promise<T> {
  const backend = await openBackend(service)
  try {
    return await use(backend)
  } finally {
    await backend.close()
  }
}

async function atService (url: string, settings: DatabaseSettings): Promise<Backend> {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new UsageError('--service takes the URL of a service, such as http://localhost:3000')
  const secret = await readJwtSecret(settings)
  if (!secret) throw new Error('SUPABASE_JWT_SECRET is not set: there is nothing to sign a token for the service with')
  return connectService(url.replace(/\/+$/, ''), userId => signAccessToken(secret, userId, '10m'), OPERATOR)
}
