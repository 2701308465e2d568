import { once } from 'node:events'
import { Agent, type IncomingMessage, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import fc, { type Arbitrary } from 'fast-check'
import t from 'tap'
import { WebSocket } from 'ws'
import { BACKEND_SECRET, bearer, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER, PYTHON_AGENT, startService } from '../support/helper.js'

/** Of all that is generated here; another one makes other requests. */
const SEED = 20261123
const REQUESTS = 3000
const MESSAGES = 1000
const AT_ONCE = 8
const PATIENCE = 20_000

// --- Bodies ---

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\0', 'a\0b', '\ud800', '\udc00x', '\ufffe', '../..', '%00', '\'; drop table agents; --', 'x'.repeat(5000)),
  fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty'))
const value: Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: fc.jsonValue({ stringUnit: 'binary' }) },
  text,
  fc.uuid(),
  fc.constantFrom(null, true, [], {}, 0, -1, 1.5, 1e300, -1e300, 2 ** 53, 2 ** 31, -(2 ** 63), 5e-324, DEMO_AGENT, PYTHON_AGENT))

const messages = [
  { role: 'system', content: 'Be brief' },
  { role: 'user', content: [{ type: 'text', text: 'Hi' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AA', detail: 'low' } }] }
]
const EXECUTE = { agentId: DEMO_AGENT, messages, stream: false }
const VALIDATED = {
  ...EXECUTE,
  userId: DEMO_USER,
  agentConfig: { name: 'A', system_prompt: 'P', ai_model: 'm', temperature: 1, max_tokens: 5, knowledge_base: ['text', { content: 'text' }] },
  functionResults: [{ functionName: 'f', functionType: 'api_call', success: true, data: { a: 1 }, error: null }]
}

type Mutation = { how: 'replace' | 'remove' | 'add', at: number, key: string, value: unknown }
const mutations = fc.array(fc.record<Mutation>({ how: fc.constantFrom('replace', 'remove', 'add'), at: fc.nat(999), key: text, value }), { maxLength: 3 })

/** A valid body with a few things changed anywhere in it. */
function mutate (valid: unknown, changes: Mutation[]): unknown {
  const root = [structuredClone(valid)]
  for (const { how, at, key, value } of changes) {
    const places: Array<[any, string]> = []
    const visit = (node: any) => {
      for (const name of Object.keys(node)) {
        places.push([node, name])
        if (node[name] !== null && typeof node[name] === 'object') visit(node[name])
      }
    }
    visit(root)
    if (places.length === 0) continue
    const [node, name] = places[at % places.length]!
    if (how === 'remove') delete node[name]
    else if (how === 'replace') node[name] = value
    else if (typeof node[name] === 'object' && node[name] !== null) Object.defineProperty(node[name], key, { value, enumerable: true, configurable: true, writable: true })
  }
  return root[0]
}

const nested = fc.tuple(fc.constantFrom(['[', ']'], ['{"a":', '}']), fc.constantFrom(10, 200, 2000, 9000, 100_000))
  .map(([[open, close], depth]) => `${open!.repeat(depth)}1${close!.repeat(depth)}`)
/** JSON that JSON.stringify would not write, in the place of a value. */
const raw = fc.oneof(nested, fc.constantFrom(
  '1e999', '-1e999', '0'.repeat(50), `${'9'.repeat(400)}.5`, 'NaN', '"\\ud800"', '"\\u0000"', '"\t"', '\ufeff',
  '{"__proto__":{"a":1}}', '{"constructor":{"prototype":1}}', '{"a":1,"a":2}'))

/** A body as text: mostly a valid one with a few changes, else cut off, with an oddity inside, or no such body at all. */
function bodyOf (valid: object): Arbitrary<string> {
  const changed = mutations.map(changes => JSON.stringify(mutate(valid, changes)) ?? '')
  const odd = fc.tuple(fc.constantFrom('replace', 'add'), fc.nat(999), raw).map(([how, at, json]) =>
    JSON.stringify(mutate(valid, [{ how, at, key: 'odd', value: 'ODDITY' }])).replace('"ODDITY"', () => json))
  return fc.oneof(
    { weight: 6, arbitrary: changed },
    { weight: 2, arbitrary: value.map(any => JSON.stringify(any)) },
    { weight: 1, arbitrary: fc.tuple(changed, fc.nat(2000)).map(([body, at]) => body.slice(0, at)) },
    { weight: 2, arbitrary: odd },
    { weight: 1, arbitrary: fc.oneof(raw, fc.string({ unit: 'binary' }), fc.constant('')) })
}

// --- Requests ---

interface Request { method: string, path: string, headers: Record<string, string>, body?: string | Uint8Array }

const ROUTES: Array<{ method: string, path: string, valid?: object, access?: Record<string, string> }> = [
  { method: 'POST', path: '/api/agent/execute', valid: EXECUTE },
  { method: 'POST', path: '/api/agent/execute-validated', valid: VALIDATED, access: { 'x-railway-secret': BACKEND_SECRET } },
  { method: 'GET', path: '/api/runs' },
  { method: 'GET', path: '/api/runs/:id' },
  { method: 'GET', path: '/api/credits' },
  { method: 'GET', path: '/api/admin/stats' },
  { method: 'GET', path: '/api/admin/runs' },
  { method: 'GET', path: '/api/admin/users/:id/ledger' },
  { method: 'POST', path: '/api/admin/users/:id/credits', valid: { credits: 1, reason: 'Because' } },
  { method: 'GET', path: '/health' },
  { method: 'GET', path: '/ready' },
  { method: 'GET', path: '/ws' },
  { method: 'GET', path: '/nothing' }
]

const headerText = fc.oneof(
  fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).filter(code => code < 0x7f || code > 0x9f).map(code => String.fromCharCode(code)), maxLength: 300 }),
  fc.constantFrom('', '0', '-1', 'null', '*', 'gzip', 'Bearer', 'Bearer x', 'Basic eDp4', '::1', '203.0.113.7', 'https://evil.example', 'POST', 'jeesi_x', 'websocket', 'x'.repeat(3000)))
const HEADERS = 'idempotency-key last-event-id origin access-control-request-method access-control-request-headers accept accept-encoding ' +
  'content-encoding x-real-ip x-forwarded-for authorization x-api-key x-railway-secret cookie if-none-match range x-request-id ' +
  'x-http-method-override sec-websocket-protocol upgrade-insecure-requests __proto__ constructor'
const headerName = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...HEADERS.split(' ')) },
  { weight: 1, arbitrary: fc.stringMatching(/^x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}$/) })
const contentType = fc.oneof(
  { weight: 8, arbitrary: fc.constant('application/json') },
  fc.constantFrom('application/json; charset=utf-8', 'APPLICATION/JSON', 'application/json;charset=utf-16', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/vnd.api+json', 'garbage', ';', 'application/json; charset="'),
  headerText)
const method = (usual: string) => fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'SEARCH', 'QUERY'))

const encoded = text.map(any => encodeURIComponent(any.toWellFormed()))
const queryName = fc.oneof(fc.constantFrom('status', 'agentId', 'limit', 'cursor', 'token', 'after', '__proto__', 'limit[]', 'status[a]', 'constructor'), encoded)
const queryValue = fc.oneof(encoded, fc.constantFrom('succeeded', 'failed', '1', '100', '1e2', '0x10', '-1', '%zz', '%', '%ff', '+', '&&', '==', DEMO_AGENT), fc.string({ unit: 'binary' }).map(any => Buffer.from(any).toString('base64url')))
const query = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, fc.array(fc.tuple(queryName, queryValue), { maxLength: 4 }).map(pairs => `?${pairs.map(pair => pair.join('=')).join('&')}`))
const param = fc.oneof(fc.uuid(), encoded, fc.constantFrom(DEMO_AGENT, `urn:uuid:${DEMO_AGENT}`, '%00', '%zz', '..', '.', '%2e%2e', 'x'.repeat(200)))

function requestTo (access: Array<Record<string, string>>): Arbitrary<Request> {
  return fc.constantFrom(...ROUTES, ...ROUTES.slice(0, 4)).chain(route => fc.record({
    method: method(route.method),
    path: fc.tuple(param, query).map(([id, query]) => route.path.replace(':id', id) + query),
    headers: fc.tuple(
      fc.oneof({ weight: 8, arbitrary: fc.constant(route.access ?? access[0]!) }, fc.constantFrom({}, ...access)),
      fc.array(fc.tuple(headerName, headerText), { maxLength: 3 }),
      contentType
    ).map(([given, wild, type]) => ({ ...Object.fromEntries(wild), ...given, ...(route.valid ? { 'content-type': type } : {}) })),
    body: route.valid
      ? fc.oneof({ weight: 9, arbitrary: bodyOf(route.valid) }, fc.uint8Array({ maxLength: 100 }))
      : fc.option(fc.constantFrom('{}', 'x'), { nil: undefined, freq: 10 })
  }))
}

const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })

async function send (url: string, { method, path, headers, body }: Request): Promise<{ status: number, type: string, text: string }> {
  const length: Record<string, string> = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const request = httpRequest(url + path, { method, agent, headers: { ...headers, ...length }, signal: AbortSignal.timeout(PATIENCE) })
  request.end(body)
  const [response] = await once(request, 'response') as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode!, type: String(response.headers['content-type']), text: Buffer.concat(chunks).toString() }
}

/** What is wrong with an answer, if anything. */
function judge (method: string, { status, type, text }: Awaited<ReturnType<typeof send>>): string | undefined {
  if (status < 400) return undefined
  if (method === 'HEAD') return status >= 500 ? `status ${status}` : undefined
  let error
  try {
    error = JSON.parse(text)
  } catch {
    return `status ${status}, not JSON but ${type}: ${text.slice(0, 100)}`
  }
  if (status >= 500 && !['python_unavailable', 'not_configured'].includes(error.code)) return `status ${status} ${error.code}`
  const { code, statusCode, requestId, details = [] } = error
  const isGood = typeof error.error === 'string' && error.error !== '' && /^[a-z_]+$/.test(code) && statusCode === status &&
    typeof requestId === 'string' && /json/.test(type) &&
    details.every((detail: Record<string, unknown>) => typeof detail.path === 'string' && typeof detail.message === 'string')
  return isGood ? undefined : `status ${status}, no error body: ${text.slice(0, 200)}`
}

// --- Messages ---

const SOCKET_MESSAGES = [
  { type: 'ping' },
  { type: 'agent_execute', agentId: DEMO_AGENT, messages, requestId: 'r', idempotencyKey: 'k' },
  { type: 'resume', runId: DEMO_AGENT, after: 1 },
  { type: 'cancel', runId: DEMO_AGENT },
  { type: 'auth', token: '' }
]

const message = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...SOCKET_MESSAGES).chain(bodyOf).filter(body => !/^\{.*"type":"auth".*"token":"[^"]/.test(body)) },
  fc.uint8Array({ maxLength: 200 }))

t.test('whatever is sent, the service answers as it should', async t => {
  const DATA_DIR = await createDataDir(t)
  const sql = new PGlite({ dataDir: join(DATA_DIR, 'postgres') })
  await sql.exec('update public.credit_balances set credits_remaining = 1000000')
  await sql.close()
  const service = await startService(t, { DATA_DIR, RATE_LIMIT_MAX: '1000000', MAX_RUNS_PER_USER: '500', PYTHON_BIN: '/nonexistent' })
  t.teardown(() => agent.destroy())
  /** One example of each problem. */
  const problems = new Map<string, string>()
  const note = (problem: string | undefined, example: unknown) => {
    if (problem && !problems.has(problem)) problems.set(problem, JSON.stringify(example).slice(0, 600))
  }

  t.test('requests', async t => {
    const requests = fc.sample(requestTo([await bearer(), { 'x-api-key': DEMO_KEY }, { 'x-railway-secret': BACKEND_SECRET }]), { numRuns: REQUESTS, seed: SEED })
    const seen = new Set<number>()
    const work = async () => {
      for (let request = requests.pop(); request; request = requests.pop()) {
        const answer = await send(service.url, request).catch((error: Error) => error)
        note(answer instanceof Error ? answer.message : judge(request.method, answer), request)
        if ('status' in answer) seen.add(answer.status)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    t.same(Object.fromEntries(problems), {}, `nothing is wrong with what seed ${SEED} makes`)
    for (const status of [200, 400, 401, 404, 415]) t.ok(seen.has(status), `some are answered with ${status}`)
  })

  t.test('messages of a WebSocket', async t => {
    problems.clear()
    const socket = new WebSocket(`${service.url}/ws`)
    t.teardown(() => socket.terminate())
    socket.on('close', (code, reason) => note(`closed with ${code} ${reason}`, {}))
    const received: any[] = []
    const waiting = new Map<string, () => void>()
    socket.on('message', data => {
      const answer = JSON.parse(String(data))
      received.push(answer)
      const isError = /error$/.test(answer.type)
      if (isError && (typeof answer.error !== 'string' || !/^[a-z_]+$/.test(answer.code) || answer.code === 'internal_error')) note('a bad error', answer)
      waiting.get(answer.requestId ?? answer.type)?.()
    })
    const answered = (name: string) => new Promise<void>((resolve, reject) => {
      waiting.set(name, resolve)
      socket.once('close', code => reject(new Error(`closed with ${code}`)))
    })
    await once(socket, 'open')
    const connected = answered('connected')
    socket.send(JSON.stringify({ type: 'auth', token: (await bearer()).authorization!.slice('Bearer '.length) }))
    await connected
    const end = answered('the-end')
    for (const any of fc.sample(message, { numRuns: MESSAGES, seed: SEED })) socket.send(any)
    socket.send('{"type":"nonsense","requestId":"the-end"}')
    await end
    const pong = answered('pong')
    socket.send('{"type":"ping"}')
    await pong
    t.same(Object.fromEntries(problems), {}, `nothing is wrong with what seed ${SEED} makes`)
    t.equal(socket.readyState, WebSocket.OPEN)
    for (const type of ['pong', 'error', 'agent_execution_complete']) t.ok(received.some(answer => answer.type === type), `some are answered with ${type}`)
  })

  t.test('and nothing of it is an error of the service', async t => {
    while (service.app.executor.size > 0) await new Promise(resolve => setImmediate(resolve))
    const lines = service.logs.map(line => JSON.parse(line)).filter(({ level }) => level === 'error' || level === 'fatal')
    t.same([...new Set(lines.map(({ message, err }) => `${message}: ${err?.message}`))], [])
  })
})
