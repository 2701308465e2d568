import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { SharedFunctions } from '../_shared/database/functions.ts'
import { errors, ServiceError } from '../_shared/errors.ts'
import { codeOfAnswer, translateError } from '../_shared/sql-errors.ts'
import { toStorableValue } from '../_shared/text.ts'
import { type Config, required } from './config.ts'

type FunctionName = keyof SharedFunctions
type Call = <F extends FunctionName> (fn: F, args: SharedFunctions[F]['args']) => Promise<SharedFunctions[F]['result']>

/** The SQL functions, called by name. */
export interface Database {
  /** @throws {ServiceError} the function's own error, or `database_…`; after the latter the call may have taken effect or not. */
  call: Call
  /** The same, repeated for up to ten seconds while the database is unavailable. Only for calls that may be repeated. */
  persist: Call
}

const CALL_TIMEOUT = 15_000
const PERSIST_MS = 10_000
const PAUSE_MS = 250

/** Creates the isolate's supabase-js client when it is first needed, with the service role's key. */
export function connect (config: Config): () => SupabaseClient {
  let client: SupabaseClient | undefined
  return () => {
    client ??= createClient(required(config.supabaseUrl, 'SUPABASE_URL', config), required(config.serviceRoleKey, 'SUPABASE_SERVICE_ROLE_KEY', config), {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false }
    })
    return client
  }
}

export function createDatabase (supabase: () => SupabaseClient): Database {
  return { call, persist }

  async function call<F extends FunctionName> (fn: F, args: SharedFunctions[F]['args']): Promise<SharedFunctions[F]['result']> {
    const { data, error, status } = await supabase().rpc(fn, toStorableValue(args) as object).abortSignal(AbortSignal.timeout(CALL_TIMEOUT))
    if (error) throw translateError({ code: codeOfAnswer(error.code, status), message: error.message, hint: error.hint, detail: error.details })
    return data
  }

  async function persist<F extends FunctionName> (fn: F, args: SharedFunctions[F]['args']): Promise<SharedFunctions[F]['result']> {
    const until = Date.now() + PERSIST_MS
    for (let pause = PAUSE_MS; ; pause *= 2) {
      try {
        return await call(fn, args)
      } catch (error) {
        const isTransient = error instanceof ServiceError && error.code === errors.databaseUnavailable.code
        if (!isTransient || Date.now() + pause > until) throw error
      }
      await new Promise(resolve => setTimeout(resolve, pause))
    }
  }
}
