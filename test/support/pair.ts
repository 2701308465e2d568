import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import type { Test } from 'tap'
import { delta, ending, frame, openStream, type Reply } from './doubles/gateway.js'
import { startPostgrest } from './doubles/postgrest.js'
import { createDataDir, DEMO_AGENT, startService } from './helper.js'

const KEY = 'service-role-key'

/** Two services beside one database, which is reached as Supabase is: over HTTP. */
export async function startTwo (t: Test, variables: Record<string, string> = {}) {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  const sql = { query: async (text: string, values: unknown[]) => (await pglite.query<Record<string, unknown>>(text, values)).rows }
  const shared = { SUPABASE_URL: await startPostgrest(t, sql, KEY), SUPABASE_SERVICE_ROLE_KEY: KEY, ...variables }
  const [a, b] = [await startService(t, shared), await startService(t, shared)]
  t.teardown(() => pglite.close())
  return { a, b, sql, shared }
}

export interface Sql { query (text: string, values: unknown[]): Promise<unknown> }

/** A tool of the demo agent that needs nobody else. */
export function offerTool ({ query }: Sql) {
  return query('insert into public.agent_functions (agent_id, name, function_type, config) values ($1, $2, $3, $4)', [DEMO_AGENT, 'look_up', 'data_transform', {
    transform_type: 'format', template: 'It is {{user_input}}.', parameters: { type: 'object', properties: { user_input: { type: 'string' } } }
  }])
}

/** Says something, and calls a tool. */
export function callTool (name: string, args: object, text: string): Reply {
  return response => {
    openStream(response).end(delta(text) + frame({
      choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name, arguments: JSON.stringify(args) } }] } }]
    }) + ending('tool_calls'))
  }
}
