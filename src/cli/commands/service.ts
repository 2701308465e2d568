import { setTimeout as delay } from 'node:timers/promises'
import { fetch } from 'undici'
import type { Subject } from '../../administration/administration.js'
import type { Backend, RunLine } from './backend.js'

/** Milliseconds for an answer; the erasing of a batch may take as long as the database lets it. */
const ANSWER_MS = 130_000
/** Milliseconds without a byte after which an event stream is dead: the service writes one every 15 s. */
const SILENCE_MS = 45_000
/** Milliseconds before a stream that has broken is opened again, and how often in a row. */
const RETRY_MS = 1000
const MAX_RETRIES = 30
const FINAL = ['done', 'error', 'cancelled']

/** A refusal of the service, in its own sentence. */
class RefusedError extends Error {}

/** Commands at a service, by its API. @param tokenOf signs a token of a user. @param operator as whom commands administer. */
export function connectService (url: string, tokenOf: (userId: string) => Promise<string>, operator: string): Backend {
  const ask = async (method: string, path: string, { body, as = operator }: { body?: object, as?: string } = {}): Promise<any> => {
    const response = await send(url, path, {
      method,
      headers: { authorization: `Bearer ${await tokenOf(as)}`, ...body && { 'content-type': 'application/json' } },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS)
    })
    return response.json()
  }
  const at = (path: string, id: string, rest = '') => `/api/admin/${path}/${id}${rest}`
  const of = ({ userId, agentId }: Subject, rest: string) => userId === undefined ? at('agents', agentId, rest) : at('users', userId, rest)
  return {
    agents: filter => ask('GET', `/api/admin/agents${query(filter)}`),
    agent: id => ask('GET', at('agents', id)),
    createAgent: body => ask('POST', '/api/admin/agents', { body }),
    editAgent: (id, body) => ask('PATCH', at('agents', id), { body }),
    deleteAgent: id => ask('DELETE', at('agents', id)),
    eraseRuns: ({ olderThanDays, ...subject }) => ask('POST', of(subject, '/erase-runs'), { body: { olderThanDays } }),
    setRetention: (subject, days) => ask('POST', of(subject, '/retention'), { body: { days } }),
    retention: filter => ask('GET', `/api/admin/retention${query(filter)}`),
    keys: as => ask('GET', '/api/keys', { as }),
    createKey: (as, body) => ask('POST', '/api/keys', { as, body }),
    revokeKey: (as, id) => ask('DELETE', `/api/keys/${id}`, { as }),
    users: filter => ask('GET', `/api/admin/users${query(filter)}`),
    createUser: email => ask('POST', '/api/admin/users', { body: { email } }),
    grant: ({ userId, credits, reason }) => ask('POST', at('users', userId, '/credits'), { body: { credits, reason } }),
    runs: filter => ask('GET', `/api/admin/runs${query(filter)}`),
    run: id => ask('GET', at('runs', id)),
    cancelRun: id => ask('POST', at('runs', id, '/cancel')),
    watchRuns: since => ask('GET', `/api/admin/runs/changes${query({ since })}`),
    follow: (id, signal) => follow(url, at('runs', id, '/events'), () => tokenOf(operator), signal),
    close: async () => {}
  }
}

async function send (url: string, path: string, init: Parameters<typeof fetch>[1]) {
  const response = await fetch(url + path, init).catch(error => {
    if (init?.signal?.aborted && error.name !== 'TimeoutError') throw error
    const cause = (error.cause ?? error) as Error & { code?: string }
    throw new Error(`the service at ${url} does not answer (${cause.code ?? cause.message})`)
  })
  if (response.ok) return response
  const { error } = await response.json().catch(() => ({})) as { error?: unknown }
  await response.body?.cancel().catch(() => {})
  if (response.status === 401 && typeof error === 'string' && /token/i.test(error)) {
    throw new RefusedError(`the service at ${url} does not take a token that is signed here: give this command its SUPABASE_JWT_SECRET`)
  }
  throw new RefusedError(typeof error === 'string' ? error : `the service at ${url} answers ${response.status}`)
}

/** Follows a run's events, and goes on with them where a connection ends before the run. */
async function * follow (url: string, path: string, token: () => Promise<string>, signal: AbortSignal): AsyncGenerator<RunLine> {
  let after = 0
  let retries = 0
  while (!signal.aborted) {
    try {
      for await (const { seq, ...event } of readEvents(url, `${path}?after=${after}`, await token(), signal)) {
        retries = 0
        if (seq > 0) after = seq
        if (event.type === 'reconnect') break
        yield event
        if (FINAL.includes(event.type)) return
      }
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof RefusedError || ++retries > MAX_RETRIES) throw error
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => {})
  }
}

async function * readEvents (url: string, path: string, token: string, signal: AbortSignal): AsyncGenerator<RunLine & { seq: number }> {
  const silence = new AbortController()
  const heard = setTimeout(() => silence.abort(), SILENCE_MS)
  try {
    const response = await send(url, path, { headers: { authorization: `Bearer ${token}` }, signal: AbortSignal.any([signal, silence.signal]) })
    let rest = ''
    const decoder = new TextDecoder()
    for await (const bytes of response.body ?? []) {
      heard.refresh()
      rest += decoder.decode(bytes as Uint8Array, { stream: true })
      const frames = rest.split('\n\n')
      rest = frames.pop()!
      for (const frame of frames) {
        const data = /^data: (\{[^\n]*)/m.exec(frame)?.[1]
        if (data) yield { ...JSON.parse(data), seq: Number(/^id: (\d+)$/m.exec(frame)?.[1] ?? 0) }
      }
    }
  } finally {
    clearTimeout(heard)
  }
}

function query (fields: object): string {
  const set = Object.entries(fields).filter(([, value]) => value !== undefined)
  return set.length === 0 ? '' : `?${new URLSearchParams(set.map(([name, value]): [string, string] => [name, String(value)]))}`
}
