import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type JSONWebKeySet, jwtVerify } from 'jose'
import type { Test } from 'tap'

export interface Sql { query (text: string, values: unknown[]): Promise<Array<Record<string, any>>> }

/** What a project's tokens are signed with: a secret of its own, or keys of which it publishes the public halves. */
export interface Auth { jwtSecret?: string, jwks?: JSONWebKeySet }

/**
 * A stand-in for Supabase's cloud, which cannot be had here. Of PostgREST: real HTTP, its `rpc` protocol as supabase-js
 * speaks it, with real PostgreSQL behind it; the service key has to be right, and errors take PostgREST's statuses and
 * shape. Of its auth server: the published keys, and whose an access token is.
 */
export async function startPostgrest (t: Test, sql: Sql, serviceKey: string, auth: Auth = {}): Promise<string> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body))
    if (request.url === '/auth/v1/.well-known/jwks.json') return answer(200, auth.jwks ?? { keys: [] })
    if (request.url === '/auth/v1/user') return answer(...await findUser(request.headers.authorization, auth))
    const fn = /^\/rest\/v1\/rpc\/(\w+)$/.exec(request.url ?? '')?.[1]
    if (request.method !== 'POST' || !fn) return answer(404, { message: 'no route' })
    if (request.headers.apikey !== serviceKey) return answer(401, { message: 'Invalid API key' })
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const args = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, unknown>
    const list = Object.keys(args).map((name, index) => `${name} => $${index + 1}`).join(', ')
    const values = Object.values(args).map(value => value !== null && typeof value === 'object' ? JSON.stringify(value) : value)
    try {
      const [row] = await sql.query(`select public.${fn}(${list}) as result`, values)
      // PostgREST answers for a function that returns void without a body.
      if (row!.result === '') response.writeHead(204).end()
      else answer(200, row!.result)
    } catch (error) {
      const { code = '', message, detail = null, hint = null } = error as { code?: string, message: string, detail?: string, hint?: string }
      if (code === '42883') return answer(404, { code: 'PGRST202', message, details: detail, hint })
      answer(statusOf(code), { code, message, details: detail, hint })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** As the auth server says it. */
async function findUser (authorization = '', { jwtSecret = '' }: Auth): Promise<[number, object]> {
  try {
    const { payload } = await jwtVerify(authorization.replace('Bearer ', ''), new TextEncoder().encode(jwtSecret))
    if (!payload.sub) return [403, { code: 403, error_code: 'bad_jwt', msg: 'invalid claim: missing sub claim' }]
    return [200, { id: payload.sub, aud: payload.aud, role: payload.role }]
  } catch {
    return [403, { code: 403, error_code: 'bad_jwt', msg: 'invalid JWT: unable to parse or verify signature' }]
  }
}

function statusOf (code: string): number {
  const told = /^PT(\d{3})$/.exec(code)?.[1]
  if (told) return Number(told)
  if (code === '23505') return 409
  if (code === '42501') return 403
  if (/^(08|53|57)/.test(code)) return 503
  return 400
}
