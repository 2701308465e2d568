import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { Config } from './config.ts'
import { EdgeError, errors, required } from './errors.ts'

/** The functions of `supabase/migrations`, called by name. */
export interface Database {
  /** @throws {EdgeError} what the function raised as `PT<status>`, or `database_…`, after which the call may have been done or not. */
  call<T> (fn: string, args: Record<string, unknown>): Promise<T>
  /** The same, over and over, while the database is away, for ten seconds; for calls that may be repeated. */
  persist<T> (fn: string, args: Record<string, unknown>): Promise<T>
}

const CALL_TIMEOUT = 15_000
const PERSIST_MS = 10_000
const PAUSE_MS = 250

/** supabase-js with the key that may do everything, made once an isolate. */
export function connect ({ supabaseUrl, serviceRoleKey }: Config): () => SupabaseClient {
  let client: SupabaseClient | undefined
  return () => {
    client ??= createClient(required(supabaseUrl, 'SUPABASE_URL'), required(serviceRoleKey, 'SUPABASE_SERVICE_ROLE_KEY'), {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false }
    })
    return client
  }
}

export function createDatabase (supabase: () => SupabaseClient): Database {
  return { call, persist }

  async function call<T> (fn: string, args: Record<string, unknown>): Promise<T> {
    const { data, error, status } = await supabase().rpc(fn, toStorable(args) as object).abortSignal(AbortSignal.timeout(CALL_TIMEOUT))
    if (error) throw translate(error, status)
    return data as T
  }

  async function persist<T> (fn: string, args: Record<string, unknown>): Promise<T> {
    const until = Date.now() + PERSIST_MS
    for (let pause = PAUSE_MS; ; pause *= 2) {
      try {
        return await call<T>(fn, args)
      } catch (error) {
        const isPassing = error instanceof EdgeError && error.code === errors.databaseUnavailable.code
        if (!isPassing || Date.now() + pause > until) throw error
      }
      await new Promise(resolve => setTimeout(resolve, pause))
    }
  }
}

function translate ({ code, message, hint }: { code: string, message: string, hint: string }, status: number): EdgeError {
  // Bare of details and values, which would bring users' texts into the log.
  const cause = Object.assign(new Error(message), { code })
  const told = /^PT(\d{3})$/.exec(code)?.[1]
  if (told && hint) return new EdgeError(hint, Number(told), message)
  if (['42883', '42P01', 'PGRST202'].includes(code)) return errors.databaseNotMigrated().with({ cause })
  // No answer, a proxy's in place of it, or a database that has no connection, room or lock to give.
  const isAway = status === 0 || status === 429 || (status >= 500 && !code) || /^(08|40|53|57|55P03|25006|PGRST00)/.test(code)
  return (isAway ? errors.databaseUnavailable() : errors.internal()).with({ cause })
}

/** What PostgreSQL takes: its text and jsonb know neither NUL nor half of a surrogate pair. */
function toStorable (value: unknown): unknown {
  if (typeof value === 'string') return toStorableText(value)
  if (Array.isArray(value)) return value.map(toStorable)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [toStorableText(key), toStorable(member)]))
}

export function toStorableText (text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd')
}
