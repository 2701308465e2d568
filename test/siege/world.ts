import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { signAccessToken } from '../../src/auth/access-token.js'
import { migratePostgres } from '../../src/database/postgres.js'

export const JWT_SECRET = 'a-secret-that-is-only-for-the-siege'

export interface User { id: string, token: string }

/** A row of agent_functions. */
export interface FunctionRow { name: string, type: string, keywords?: string[], config: object }

/** The database that the service stands on, and who is in it. */
export class World {
  /** The processes, each by its URL. */
  urls: string[] = []

  private constructor (readonly databaseUrl: string, private readonly admin: pg.Client, private readonly client: pg.Client, private readonly name: string) {}

  /** Makes a database on a server, migrated and without anybody. */
  static async create (server: string): Promise<World> {
    const name = `jeesi_siege_${process.pid}_${Date.now()}`
    const admin = await connect(server)
    await admin.query(`create database ${name}`)
    const url = new URL(server)
    url.pathname = `/${name}`
    await migratePostgres(url.href)
    return new World(url.href, admin, await connect(url.href), name)
  }

  async close (): Promise<void> {
    await this.client.end()
    await this.admin.query(`drop database ${this.name} with (force)`)
    await this.admin.end()
  }

  async query (sql: string, values: unknown[] = []): Promise<any[]> {
    return (await this.client.query(sql, values)).rows
  }

  async createUser (credits: number): Promise<User> {
    const id = randomUUID()
    await this.query('insert into auth.users (id, email) values ($1, $2)', [id, `${id}@siege.local`])
    // A plan that nothing limits, so that what is felt is not the plan.
    await this.query("insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, 'demo')", [id, credits])
    return { id, token: await signAccessToken(JWT_SECRET, id) }
  }

  /**
   * Makes an agent of the user, with functions.
   * @param isChecked false writes rows as they may have been written before anything was checked.
   */
  async createAgent (user: User, { knowledge = null as unknown, functions = [] as FunctionRow[], isChecked = true } = {}): Promise<string> {
    const id = randomUUID()
    await this.query('begin')
    if (!isChecked) await this.query("set local session_replication_role = 'replica'")
    await this.query(`insert into public.agents (id, user_id, name, purpose, status, is_published, is_heavy, knowledge_base, ai_model)
      values ($1, $2, 'Siege', 'Siege', 'active', true, true, $3, null)`, [id, user.id, JSON.stringify(knowledge)])
    for (const [order, { name, type, keywords = [], config }] of functions.entries()) {
      await this.query(`insert into public.agent_functions (agent_id, name, description, function_type, trigger_keywords, config, execution_order)
        values ($1, $2, $2, $3, $4, $5, $6)`, [id, name, type, keywords, JSON.stringify(config), order])
    }
    // As the migration does.
    if (!isChecked) await this.query('select public.cut_knowledge()')
    await this.query('commit')
    return id
  }

  /** The URL of a process, in turn. */
  url (turn = 0): string {
    return this.urls[turn % this.urls.length]!
  }
}

async function connect (url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}
