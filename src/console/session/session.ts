import { Store } from '../base/store.js'
import { Api, ask, type TokenSource } from './api.js'
import { ApiRows, type Rows } from './rows.js'

export interface DemoUser { userId: string, email: string | null, isAdmin: boolean }

/** What the service says before anybody has signed in. */
export interface Settings { version: string, signIn: 'demo' | 'supabase' | 'token', supabaseUrl: string | null, supabaseKey: string | null, users: DemoUser[] }

/** Who has signed in. */
export interface Session {
  readonly userId: string
  readonly name: string
  /** Undefined: not known; the service then says what it refuses. */
  readonly isAdmin: boolean | undefined
  readonly source: TokenSource
  readonly api: Api
  readonly rows: Rows
  /** Whether users, agents and credits stand in a Supabase project. */
  readonly hasProject: boolean
  /** Forgets who it is, here and where it was signed in. */
  end (): Promise<void>
}

/** A way to sign in. */
export interface SignIn {
  /** Goes on with the session of the page before; undefined if there is none. */
  resume (): Promise<Session | undefined>
  begin (credentials: { userId?: string, email?: string, password?: string, token?: string }): Promise<Session>
}

/** The session of this page. */
class Current extends Store {
  session: Session | undefined
  /** Why there is none any more. */
  reason: 'expired' | undefined

  set (session: Session | undefined, reason?: 'expired'): void {
    this.session = session
    this.reason = reason
    this.changed()
  }
}

export const current = new Current()

const USER_KEY = 'jeesi-console:user'
const TOKEN_KEY = 'jeesi-console:token'
/** A token is renewed this long before it expires. */
const EARLY_MS = 60_000

/** The demo users of the embedded mode, who have no password. */
export class DemoSignIn implements SignIn {
  constructor (private readonly users: readonly DemoUser[]) {}

  async resume (): Promise<Session | undefined> {
    const userId = read(localStorage, USER_KEY)
    return this.users.some(user => user.userId === userId) ? this.begin({ userId: userId! }) : undefined
  }

  async begin ({ userId = '' }: { userId?: string }): Promise<Session> {
    const user = this.users.find(user => user.userId === userId)
    let session = await signInDemo(userId)
    const source: TokenSource = {
      async token () {
        if (Date.parse(session.expiresAt) < Date.now() + EARLY_MS) session = await signInDemo(userId)
        return session.token
      },
      async renew () {
        session = await signInDemo(userId)
        return true
      },
      expire: () => current.set(undefined, 'expired')
    }
    write(localStorage, USER_KEY, userId)
    return makeSession({ userId, name: user?.email ?? userId, isAdmin: user?.isAdmin, source, end: async () => write(localStorage, USER_KEY, '') })
  }
}

/** An access token that was pasted, for services beside users whom the console does not know how to ask. */
export class TokenSignIn implements SignIn {
  async resume (): Promise<Session | undefined> {
    const token = read(sessionStorage, TOKEN_KEY)
    return token ? this.begin({ token }).catch(() => undefined) : undefined
  }

  async begin ({ token = '' }: { token?: string }): Promise<Session> {
    const text = token.trim()
    const source: TokenSource = { token: async () => text, renew: async () => false, expire: () => current.set(undefined, 'expired') }
    // Who it is, the service knows: a wrong token is refused here and not on the first page.
    await ask('GET', '/api/runs?limit=1', undefined, text)
    write(sessionStorage, TOKEN_KEY, text)
    const userId = subjectOf(text)
    return makeSession({ userId, name: userId.slice(0, 8), isAdmin: undefined, source, end: async () => write(sessionStorage, TOKEN_KEY, '') })
  }
}

export function makeSession ({ source, rows, hasProject = false, ...rest }: Omit<Session, 'api' | 'rows' | 'hasProject'> & { rows?: Rows, hasProject?: boolean }): Session {
  const api = new Api(source)
  return { ...rest, source, api, rows: rows ?? new ApiRows(api), hasProject }
}

async function signInDemo (userId: string): Promise<{ token: string, expiresAt: string }> {
  return (await ask('POST', '/api/console/sessions', { userId })).json()
}

function subjectOf (token: string): string {
  try {
    return String(JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))).sub)
  } catch {
    return 'unknown'
  }
}

/** Private windows may refuse to remember anything. */
function read (storage: Storage, key: string): string | undefined {
  try {
    return storage.getItem(key) ?? undefined
  } catch {
    return undefined
  }
}

function write (storage: Storage, key: string, value: string): void {
  try {
    if (value) storage.setItem(key, value)
    else storage.removeItem(key)
  } catch {}
}
