import { createClient } from '@supabase/supabase-js'
import { Agent, fetch } from 'undici'
import { WebSocket } from 'ws'
import { codeOfAnswer, isRefusal, type SqlError, translateError } from '#shared/sql-errors.ts'
import { type Database, timeoutOf } from './port.js'
import { type Arguments, toStorableArguments } from './statements.js'

/** A server may ask for idle connections to be kept for longer, and their keep-alive packets would keep a platform from putting the process to sleep. */
const IDLE_TIMEOUT = 30_000

/** Connects to a database through Supabase's REST interface: each call is one `rpc` of supabase-js over HTTP. */
export function connectSupabase (url: string, serviceRoleKey: string): Database {
  const dispatcher = new Agent({ keepAliveMaxTimeout: IDLE_TIMEOUT })
  const client = createClient(url, serviceRoleKey, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { fetch: ((input: string, init: object) => fetch(input, { ...init, dispatcher })) as never },
    // Realtime is unused, but supabase-js throws on Node 20 if it finds no WebSocket.
    realtime: { transport: WebSocket as never }
  })
  return {
    async call (fn: string, args: Arguments = {}): Promise<any> {
      const { data, error, status } = await client.rpc(fn, toStorableArguments(args)).abortSignal(AbortSignal.timeout(timeoutOf(fn)))
      if (!error) return data
      if (status === 0) throw translateError(explain(error))
      const code = codeOfAnswer(error.code, status)
      // A proxy's answer is an HTML page.
      const message = /^\s*(<|$)/.test(error.message ?? '') ? `HTTP ${status}` : error.message
      throw translateError({ code, message, hint: error.hint })
    },
    close: () => dispatcher.destroy()
  }
}

/** The cause of a request without an answer, which supabase-js only has in the details, before a stack. */
function explain ({ message, details }: { message: string, details: string }): SqlError {
  const [, cause, code] = /\nCaused by: \w+: (.*?)(?: \((\w+)\))?\n/.exec(`${details}\n`) ?? []
  return { code: code && isRefusal(code) ? code : '', message: cause || code || message }
}
