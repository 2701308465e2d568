import { createClient, type PostgrestError, type Session as SupabaseSession, type SupabaseClient } from '@supabase/supabase-js'
import { JeesiError } from '../../client/client.js'
import type { TokenSource } from './api.js'
import type { Agent, AgentFunction, Firing, Rows, Schedule, Table } from './rows.js'
import { current, makeSession, type Session, type SignIn } from './session.js'

/** What an agent's list needs: prompts and knowledge may be large. */
const AGENT_COLUMNS = 'id,user_id,name,description,purpose,ai_model,temperature,max_tokens,is_published,is_heavy,executor,entrypoint'
const MAX_ROWS = 500
const MAX_FIRINGS = 20

/** Users of a Supabase project, by its own client. */
export class SupabaseSignIn implements SignIn {
  readonly #client: SupabaseClient

  constructor (url: string, key: string) {
    this.#client = createClient(url, key, { auth: { persistSession: true, autoRefreshToken: true, detectSessionInUrl: false } })
  }

  async resume (): Promise<Session | undefined> {
    const { data: { session } } = await this.#client.auth.getSession()
    return session ? this.#open(session) : undefined
  }

  async begin ({ email = '', password = '' }: { email?: string, password?: string }): Promise<Session> {
    const { data, error } = await this.#client.auth.signInWithPassword({ email, password })
    if (error) throw new JeesiError(error.message, error.code ?? 'unauthorized', error.status ?? 0)
    return this.#open(data.session)
  }

  async #open ({ user }: SupabaseSession): Promise<Session> {
    const client = this.#client
    const { data: roles } = await client.from('user_roles').select('role').eq('user_id', user.id)
    const source: TokenSource = {
      async token () {
        const { data: { session } } = await client.auth.getSession()
        if (!session) throw new JeesiError('Your session has ended.', 'unauthorized', 401)
        return session.access_token
      },
      async renew () {
        const { data, error } = await client.auth.refreshSession()
        return !error && data.session !== null
      },
      expire: () => current.set(undefined, 'expired')
    }
    return makeSession({
      userId: user.id,
      name: user.email ?? user.id,
      isAdmin: roles?.some(({ role }) => role === 'admin') ?? false,
      source,
      rows: new SupabaseRows(client, user.id),
      hasProject: true,
      end: async () => { await client.auth.signOut({ scope: 'local' }) }
    })
  }
}

/** Rows by the project's REST interface, under the policies of the user who has signed in. */
class SupabaseRows implements Rows {
  constructor (private readonly client: SupabaseClient, private readonly userId: string) {}

  async agents (): Promise<Agent[]> {
    return unwrap(await this.client.from('agents').select(AGENT_COLUMNS).order('created_at', { ascending: false }).limit(MAX_ROWS)) as Agent[]
  }

  async agent (id: string): Promise<Agent | undefined> {
    return unwrap(await this.client.from('agents').select('*').eq('id', id).eq('user_id', this.userId).limit(1))[0] as Agent | undefined
  }

  async functions (agentId: string): Promise<AgentFunction[]> {
    return unwrap(await this.client.from('agent_functions').select('*').eq('agent_id', agentId).order('execution_order').limit(MAX_ROWS)) as AgentFunction[]
  }

  async schedules (): Promise<Schedule[]> {
    return unwrap(await this.client.from('agent_schedules').select('*').eq('user_id', this.userId).limit(MAX_ROWS)) as Schedule[]
  }

  async firings (agentId: string): Promise<Firing[]> {
    return unwrap(await this.client.from('scheduled_runs').select('*').eq('agent_id', agentId).order('created_at', { ascending: false }).limit(MAX_FIRINGS)) as Firing[]
  }

  async save (table: Table, row: object & { id?: string }): Promise<any> {
    const { id, ...fields } = row
    if (id !== undefined) return unwrap(await this.client.from(table).update(fields).eq('id', id).select())[0]
    const owned = table === 'agent_functions' ? fields : { ...fields, user_id: this.userId }
    // Nobody may be asked for what the platform's table demands, and the console's form does not have.
    return unwrap(await this.client.from(table).insert(table === 'agents' ? { purpose: '', ...owned } : owned).select())[0]
  }

  async remove (table: Table, id: string): Promise<void> {
    unwrap(await this.client.from(table).delete().eq('id', id).select())
  }
}

function unwrap ({ data, error, status }: { data: unknown[] | null, error: PostgrestError | null, status: number }): any[] {
  if (error) throw new JeesiError(error.message, error.code, status)
  return data ?? []
}
