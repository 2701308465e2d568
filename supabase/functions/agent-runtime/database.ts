import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { errors, ServiceError } from '../_shared/errors.ts'
import { codeOfAnswer, translateError } from '../_shared/sql-errors.ts'
import { toStorableValue } from '../_shared/text.ts'
import { type Config, required } from './config.ts'

/** The functions of `supabase/migrations`, called by name. */
export interface Database {
  /** @throws {ServiceError} the function's own error, or `database_…`; after the latter the call may have taken effect or not. */
  call<T> (fn: string, args: Record<string, unknown>): Promise<T>
  /** The same, repeated for up to ten seconds while the database is unavailable. Only for calls that may be repeated. */
  persist<T> (fn: string, args: Record<string, unknown>): Promise<T>
}

const CALL_TIMEOUT = 15_000
const PERSIST_MS = 10_000
const PAUSE_MS = 250

/** Creates the isolate's supabase-js client when it is first needed, with the service role's key. */
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
    const { data, error, status } = await supabase().rpc(fn, toStorableValue(args) as object).abortSignal(AbortSignal.timeout(CALL_TIMEOUT))
    if (error) throw translateError({ code: codeOfAnswer(error.code, status), message: error.message, hint: error.hint })
    return data as T
  }

  async function persist<T> (fn: string, args: Record<string, unknown>): Promise<T> {
    const until = Date.now() + PERSIST_MS
    for (let pause = PAUSE_MS; ; pause *= 2) {
      try {
        return await call<T>(fn, args)
      } catch (error) {
        const isTransient = error instanceof ServiceError && error.code === errors.databaseUnavailable.code
        if (!isTransient || Date.now() + pause > until) throw error
      }
      await new Promise(resolve => setTimeout(resolve, pause))
    }
  }
}
