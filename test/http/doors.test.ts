import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { FastifyRequest } from 'fastify'
import pg from 'pg'
import t, { type Test } from 'tap'
import { signAccessToken } from '../../src/auth/access-token.js'
import { addressKey } from '../../src/http/client-address.js'
import { hang, say } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, bearer, createPostgres, DEMO_AGENT, DEMO_KEY, DEMO_USER, findPostgres, JWT_SECRET, OTHER_USER, type Service, startService } from '../support/helper.js'
import { openRaw, sendRaw } from '../support/raw-http.js'
import { connect, execution, login, tickAll } from '../support/socket-client.js'

const EXECUTE = '/api/agent/execute'
const bodyOf = (text: string, more: object = {}) => ({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: text }], stream: false, ...more })

t.test('the doors', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  t.teardown(() => sql.end())
  await sql.query('update public.credit_balances set credits_remaining = 1000000')
  const start = async (t: Test, variables: Record<string, string> = {}) => {
    const service = await startService(t, { SUPABASE_DB_URL: url, ...variables })
    service.gateway.reply = say('Hello')
    return service
  }

  t.test('a request may take any part of a second', async t => {
    for (const seconds of ['1.25', '0.2501', '9.33333']) {
      const { url } = await start(t, { REQUEST_SECONDS: seconds })
      t.equal((await fetch(`${url}/health`)).status, 200, seconds)
    }
  })

  t.test('every answer is hardened, those before routing too', async t => {
    const { url } = await start(t, { BODY_LIMIT: '1000', REQUEST_SECONDS: '0.5' })
    const upgrade = 'connection: upgrade\r\nupgrade: websocket\r\n'
    const { authorization } = await bearer()
    const attempts: Array<[string, number, string]> = [
      ['no HTTP at all', 400, 'nonsense\r\n\r\n'],
      ['a request without a host', 400, 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n'],
      ['an address that cannot be decoded', 400, 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'],
      ['an address at which there is nothing', 404, 'GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'],
      ['an unknown method', 400, 'BREW / HTTP/1.1\r\nhost: x\r\n\r\n'],
      ['an expectation that nobody knows', 200, 'GET /health HTTP/1.1\r\nhost: x\r\nexpect: more\r\nconnection: close\r\n\r\n'],
      ['headers that are too large', 431, `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`],
      ['a body that is too large', 413, `POST ${EXECUTE} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n`],
      ['a body that does not come', 408, `POST ${EXECUTE} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{`],
      ['an upgrade where there is nothing', 404, `GET /nothing HTTP/1.1\r\nhost: x\r\n${upgrade}\r\n`],
      ['an upgrade with events that nobody knows', 400, `GET /ws?events=x HTTP/1.1\r\nhost: x\r\n${upgrade}sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`],
      ['an upgrade without a key', 400, `GET /ws HTTP/1.1\r\nhost: x\r\n${upgrade}sec-websocket-version: 13\r\n\r\n`]
    ]
    const expected = (await fetch(`${url}/health`)).headers
    for (const [what, status, bytes] of attempts) {
      const answer = await sendRaw(t, url, bytes)
      t.equal(answer.status, status, what)
      for (const name of ['content-security-policy', 'strict-transport-security', 'x-content-type-options', 'x-frame-options', 'referrer-policy']) {
        t.ok(expected.has(name))
        t.equal(answer.headers[name], expected.get(name), `${what}: ${name}`)
      }
      if (status >= 400) t.match(JSON.parse(answer.body), { code: /^[a-z_]+$/, statusCode: status, error: String, requestId: String }, what)
    }
  })

  t.test('a body that does not arrive in time ends its connection, and a stream that has begun says nothing more', async t => {
    const service = await start(t, { REQUEST_SECONDS: '0.5' })
    service.gateway.reply = hang('Hel')
    const { authorization } = await bearer()
    const { body: { runId } } = await service.request('POST', EXECUTE, { body: bodyOf('Hi', { background: true }) })
    const socket = await openRaw(t, service.url)
    let raw = ''
    socket.on('data', piece => { raw += piece })
    socket.write(`GET /api/runs/${runId}/events HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-length: 10\r\n\r\n`)
    await once(socket, 'close')
    t.match(raw, /^HTTP\/1\.1 200 /)
    t.notMatch(raw, / 408 /)
  })

  t.test('the body of a caller who is unknown, or of a request for nothing, is not waited for', async t => {
    const { url } = await start(t)
    for (const [path, status] of [['/nothing', 404], [EXECUTE, 401], ['/api/agent/execute-validated', 401]] as const) {
      const socket = await openRaw(t, url)
      socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9900000\r\n\r\n[[`)
      const [piece] = await once(socket, 'data')
      t.match(String(piece), new RegExp(`^HTTP/1.1 ${status} `), path)
      socket.destroy()
    }
  })

  t.test('JSON that is nested too deep or has too many values is refused, whoever sends it', async t => {
    const { request } = await start(t)
    const client = await login(t, await start(t))
    const attempts: Array<[string, RegExp]> = [
      [`{"x":${'['.repeat(5_000)}${']'.repeat(5_000)}}`, /nested/],
      [`{"x":[${'[],'.repeat(200_000)}0]}`, /values/],
      [`{"x":[${'1,'.repeat(200_000)}0]}`, /values/]
    ]
    for (const [body, error] of attempts) {
      t.match(await request('POST', EXECUTE, { body }), { status: 400, body: { code: 'bad_request', error } })
      t.match(await request('POST', '/api/agent/execute-validated', { body, headers: { 'x-railway-secret': BACKEND_SECRET } }), { status: 400, body: { code: 'bad_request', error } })
      client.send(body)
      t.match(await client.next('error'), { code: 'bad_request', error })
    }
    t.match(await request('POST', EXECUTE, { body: bodyOf(`${'[{,:"\\'.repeat(50_000)}`) }), { status: 200 }, 'what stands in a text does not count')
  })

  t.test('bytes count by caller, and what is too much is taken when its time has come', async t => {
    const variables = { RATE_LIMIT_BYTES: '1000000', RATE_LIMIT_WINDOW: '3000' }
    const service = await start(t, variables)
    const large = bodyOf('x'.repeat(900_000))
    t.equal((await service.request('POST', EXECUTE, { body: large })).status, 200)
    t.equal((await service.request('POST', EXECUTE, { body: large })).status, 200, 'what begins below the limit is taken whole')
    const refused = await service.request('POST', EXECUTE, { body: large })
    t.match(refused, { status: 429, body: { code: 'rate_limited', error: /Too much/, retryAfter: Number } })
    const notParsed = await service.request('POST', EXECUTE, { body: '['.repeat(900_000) })
    t.match(notParsed, { status: 429 }, 'and not looked at before')
    t.equal((await service.request('POST', EXECUTE, { body: bodyOf('Hi') })).status, 200, 'small ones are')
    t.equal((await service.request('POST', EXECUTE, { body: large, headers: await bearer(OTHER_USER) })).status, 200, 'and those of others')
    const client = await login(t, service)
    client.send(execution({ messages: large.messages }))
    t.match(await client.next('error'), { code: 'rate_limited', retryAfter: Number }, 'on a WebSocket as well')
    const seconds = Number(refused.headers.get('retry-after'))
    t.ok(seconds >= 1 && seconds <= 3, `retry-after: ${seconds}`)
    await new Promise(resolve => setTimeout(resolve, seconds * 1000))
    t.equal((await service.request('POST', EXECUTE, { body: large })).status, 200)
  })

  t.test('tiny values count as much as the time that they take', async t => {
    const { request } = await start(t, { RATE_LIMIT_BYTES: '1000000' })
    const dense = bodyOf('Hi', { x: Array.from({ length: 20_000 }, () => 1) })
    t.equal((await request('POST', EXECUTE, { body: dense })).status, 200, '40 KB that count for 5 MB')
    t.equal((await request('POST', EXECUTE, { body: dense })).status, 429)
  })

  t.test('bodies that do not arrive as a whole keep no memory from others, and their own caller waits for it', async t => {
    const service = await start(t, { RATE_LIMIT_BYTES: '1000000000' })
    const { arriving } = service.app.memory
    const { authorization } = await bearer()
    const held = []
    while (arriving.waiting === 0) {
      const socket = await openRaw(t, service.url)
      socket.write(`POST ${EXECUTE} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/json\r\ncontent-length: 9900000\r\n\r\n["`)
      held.push(socket)
    }
    t.ok(arriving.used <= arriving.capacity / 2, 'a user holds half of it at the most')
    const large = bodyOf('x'.repeat(900_000))
    let isAnswered = false
    const waiting = service.request('POST', EXECUTE, { body: large }).finally(() => { isAnswered = true })
    t.equal((await service.request('POST', EXECUTE, { body: bodyOf('Hi') })).status, 200, 'small bodies need none of it')
    t.equal((await service.request('POST', EXECUTE, { body: large, headers: await bearer(OTHER_USER) })).status, 200, 'another user has some of their own')
    t.notOk(isAnswered)
    for (const socket of held) socket.destroy()
    t.equal((await waiting).status, 200, 'what is given up is free again')
  })

  t.test('messages that do not arrive as a whole have a budget', async t => {
    const service = await start(t, { BODY_LIMIT: '1000000', RATE_LIMIT_BYTES: '1000000000' })
    const messages = [{ role: 'user', content: 'x'.repeat(900_000) }]
    const held = await Promise.all([1, 2, 3, 4].map(() => login(t, service)))
    for (const { ws } of held) ws.send(messages[0]!.content, { fin: false })
    await Promise.all(held.map(({ ws }) => { ws.ping(); return once(ws, 'pong') }))
    const client = await login(t, service)
    client.send(execution({ messages }))
    t.match(await client.next('error'), { code: 'server_busy', retryAfter: Number })
    t.match(await client.closed, { code: 1013 })
    const other = await login(t, service, OTHER_USER)
    other.send(execution({ messages }))
    await other.next('agent_execution_complete')
    for (const { ws } of held) ws.terminate()
    await Promise.all(held.map(({ closed }) => closed))
    while (service.app.websocketServer.clients.size > 1) await new Promise(resolve => setImmediate(resolve))
    const again = await login(t, service)
    again.send(execution({ messages }))
    t.match(await again.next('agent_execution_complete'), { response: 'Hello' }, 'what is given up is free again')
  })

  t.test('a user has so many connections, and no more', async t => {
    const service = await start(t, { MAX_CONNECTIONS_PER_USER: '2' })
    service.gateway.reply = hang('Hel')
    const headers = { 'content-type': 'application/json', 'x-stream-events': '*', ...await bearer() }
    const leave = new AbortController()
    const open = () => fetch(service.url + EXECUTE, { method: 'POST', headers, signal: leave.signal, body: JSON.stringify(bodyOf('Hi', { stream: true })) })
    const stream = await open()
    const client = await login(t, service)
    for (const refused of [await open(), await fetch(`${service.url}/api/runs/${stream.headers.get('x-run-id')}/events`, { headers })]) {
      t.equal(refused.status, 429)
      t.ok(Number(refused.headers.get('retry-after')) >= 1)
      t.match(await refused.json(), { code: 'too_many_connections' })
    }
    const validated = { ...bodyOf('Hi'), userId: DEMO_USER, agentConfig: {} }
    t.match(await service.request('POST', '/api/agent/execute-validated', { body: validated, headers: { 'x-railway-secret': BACKEND_SECRET } }), { status: 429 }, 'through the edge function neither')
    const third = await connect(t, service, { token: await signAccessToken(JWT_SECRET, DEMO_USER) })
    t.match(await third.next('error'), { code: 'too_many_connections', retryAfter: Number })
    t.match(await third.closed, { code: 1013 })
    t.equal((await service.request('GET', '/api/credits')).status, 200, 'what is answered at once is no such connection')
    await (await login(t, service, OTHER_USER)).roundTrip()
    client.ws.terminate()
    let again
    do {
      again = await connect(t, service, { token: await signAccessToken(JWT_SECRET, DEMO_USER) })
      await Promise.race([again.closed, again.next('connected').catch(() => {})])
    } while (again.ws.readyState !== again.ws.OPEN)
    await again.roundTrip()
    leave.abort()
  })

  t.test('an address has 32 WebSockets that nobody is known on', async t => {
    const service = await start(t)
    const known = await login(t, service)
    const clients = await Promise.all(Array.from({ length: 32 }, () => connect(t, service)))
    const answer = await sendRaw(t, service.url, 'GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
    t.equal(answer.status, 429)
    t.ok(Number(answer.headers['retry-after']) >= 1)
    t.match(JSON.parse(answer.body), { code: 'too_many_connections' })
    clients[0]!.send({ type: 'auth', token: await signAccessToken(JWT_SECRET, DEMO_USER) })
    await clients[0]!.next('connected')
    await login(t, service)
    await known.roundTrip()
  })

  t.test('a WebSocket that nobody is known on ends after ten seconds, though its peer says nothing', async t => {
    const service = await start(t)
    const client = await connect(t, service)
    client.ws.pause()
    const [peer] = service.app.websocketServer.clients
    const closed = once(peer!, 'close')
    const before = Date.now()
    tickAll(service, Date.now() + 10_000)
    await closed
    t.ok(Date.now() - before < 5_000, 'not after the half minute that a goodbye may be waited for')
  })

  t.test('a WebSocket ends after a day', async t => {
    const service = await start(t)
    const client = await connect(t, service, { token: DEMO_KEY })
    await client.next('connected')
    tickAll(service, Date.now() + 86_390_000)
    await client.roundTrip()
    tickAll(service, Date.now() + 86_400_001)
    t.match(await client.closed, { code: 1012, reason: /a day/ })
  })

  t.test('a WebSocket ends when its key or session is revoked, or its user gone', async t => {
    const service = await start(t)
    await sql.query('create table if not exists auth.sessions (id uuid primary key, user_id uuid)')
    t.teardown(() => sql.query('drop table auth.sessions'))
    const [user, session, key] = [randomUUID(), randomUUID(), `jsk_${randomUUID()}`]
    await sql.query('insert into auth.users (id) values ($1)', [user])
    await sql.query('insert into auth.sessions values ($1, $2)', [session, DEMO_USER])
    await sql.query("insert into public.api_keys (user_id, key_name, key_hash, key_prefix, is_active) values ($1, 'k', $2, 'x', true)", [DEMO_USER, createHash('sha256').update(key).digest('hex')])
    const { SignJWT } = await import('jose')
    const token = await new SignJWT({ role: 'authenticated', session_id: session }).setProtectedHeader({ alg: 'HS256' }).setSubject(DEMO_USER).setAudience('authenticated')
      .setExpirationTime('1h').sign(new TextEncoder().encode(JWT_SECRET))
    const [byKey, bySession, byUser] = [await connect(t, service, { token: key }), await connect(t, service, { token }), await login(t, service, user)]
    const others = [await login(t, service), await connect(t, service, { token: DEMO_KEY })]
    for (const client of [byKey, bySession]) await client.next('connected')
    const check = () => service.app.sessions.checkCallers()
    await check()
    for (const client of [byKey, bySession, byUser, ...others]) await client.roundTrip()
    const acts: Array<[typeof byKey, string, string[]]> = [
      [byKey, 'update public.api_keys set is_active = false where user_id = $1 and key_name = $2', [DEMO_USER, 'k']],
      [bySession, 'delete from auth.sessions where id = $1', [session]],
      [byUser, 'delete from auth.users where id = $1', [user]]
    ]
    for (const [client, statement, values] of acts) {
      await sql.query(statement, values)
      await check()
      t.match(await client.closed, { code: 1008, reason: /gone/ })
    }
    for (const client of others) await client.roundTrip()
  })

  t.test('keys that are wrong ask the database no more once their address has tried often enough', async t => {
    const service = await start(t, { RATE_LIMIT_MAX: '50' })
    const asked = countCalls(t, service)
    // Whom the key lets in is told that there is no such run.
    const look = (key: string) => service.request('GET', `/api/runs/${randomUUID()}`, { headers: { 'x-api-key': key } })
    t.equal((await look(DEMO_KEY)).status, 404)
    const before = asked()
    const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => look(`jsk_wrong_${i}`)))
    t.ok(answers.every(({ status }) => status === 401 || status === 429))
    t.ok(asked() - before < 50 + 30, `${asked() - before} of 500 were asked for`)
    t.equal((await look(DEMO_KEY)).status, 404, 'a good key of the same address goes on')
    await sql.query('update public.api_keys set is_active = false where key_hash = $1', [createHash('sha256').update(DEMO_KEY).digest('hex')])
    t.not((await look(DEMO_KEY)).status, 404, 'and is refused at once when it is revoked')
    await sql.query('update public.api_keys set is_active = true where key_hash = $1', [createHash('sha256').update(DEMO_KEY).digest('hex')])
    let again
    do again = await look(DEMO_KEY)
    while (again.status === 429)
    t.equal(again.status, 404, 'a good key that is new here gets in between')
  })
})

t.test('an IPv6 address is counted with its network', async t => {
  const keyOf = (remoteAddress: string) => addressKey({ socket: { remoteAddress }, headers: {} } as unknown as FastifyRequest)
  t.equal(keyOf('2001:db8:1:2::1'), keyOf('2001:db8:1:2:ffff:ffff:ffff:ffff'))
  t.not(keyOf('2001:db8:1:2::1'), keyOf('2001:db8:1:3::1'))
  t.equal(keyOf('2001:DB8:1:2::1'), keyOf('2001:db8:1:2::1'))
  t.equal(keyOf('fe80::1%eth0'), keyOf('fe80::2'))
  t.equal(keyOf('::ffff:203.0.113.9'), keyOf('203.0.113.9'))
  t.not(keyOf('203.0.113.9'), keyOf('203.0.113.10'))
  t.type(keyOf(''), 'string')
})

/** Counts how often the service asks whose a key is. */
function countCalls (t: Test, { app }: Service): () => number {
  const { database } = app
  const call = database.call.bind(database)
  let count = 0
  const counting = (...args: Parameters<typeof call>) => {
    if (args[0] === 'authenticate_api_key') count++
    return call(...args)
  }
  Object.assign(database, { call: counting })
  t.teardown(() => { delete (database as { call?: unknown }).call })
  return () => count
}
