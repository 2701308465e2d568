import type { Config } from '../config/config.js'
import type { DemoSession, DemoUser } from '../contract/rows.js'
import type { Database } from '../database/port.js'
import { readJwtSecret, signAccessToken } from './access-token.js'

/** How long a session lasts, in seconds; pages begin another by themselves. */
const LIFETIME = 3600
/** Users who are offered. */
const MAX_USERS = 100

/** The users of the embedded database, who sign in without a password while nothing is at stake. */
export class DemoUsers {
  private constructor (private readonly secret: string, private readonly database: Pick<Database, 'call'>) {}

  /** @returns undefined in production and beside any other database, whose users have passwords. */
  static async of (config: Config, database: Pick<Database, 'call'>): Promise<DemoUsers | undefined> {
    const secret = config.database.kind === 'embedded' && config.database.hasDemo ? await readJwtSecret(config) : undefined
    return secret === undefined ? undefined : new DemoUsers(secret, database)
  }

  /** Who may sign in, 100 at the most. */
  async list (): Promise<DemoUser[]> {
    return (await this.database.call('list_demo_users', { p_limit: MAX_USERS })).users
  }

  /** Signs an access token. Whether there is such a user, the database says at the first use of it. */
  async begin (userId: string): Promise<DemoSession> {
    const expiresAt = new Date(Date.now() + LIFETIME * 1000).toISOString()
    return { token: await signAccessToken(this.secret, userId, `${LIFETIME}s`), expiresAt }
  }
}
