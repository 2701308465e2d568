import { createClient } from '@supabase/supabase-js'
import { WebSocket } from 'ws'
import { toStorableArguments, translateError, type Database } from './port.js'

const CALL_TIMEOUT = 15_000

/** The database behind Supabase's REST interface: each call is one `rpc` of supabase-js over HTTP. */
export function connectSupabase (url: string, serviceRoleKey: string): Database {
  const client = createClient(url, serviceRoleKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    // Unused, but supabase-js throws on Node 20 where it finds no WebSocket.
    realtime: { transport: WebSocket as never }
  })
  return {
    async call<T> (fn: string, args = {}) {
      const { data, error, status } = await client.rpc(fn, toStorableArguments(args)).abortSignal(AbortSignal.timeout(CALL_TIMEOUT))
      if (!error) return data as T
      throw translateError({ ...error, code: isUnreachable(status, error.code) ? '' : error.code || `HTTP ${status}` })
    },
    async close () {}
  }
}

/** No answer at all, or that of a proxy in front of a PostgREST that is down: its body has no SQLSTATE. */
function isUnreachable (status: number, code: string | undefined): boolean {
  return status === 0 || (status >= 500 && !code)
}
