import { execFile } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { hang, say } from '../support/doubles/gateway.js'
import { ALL_EVENTS, BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_KEY, parseStream, type Service, startService, textOf } from '../support/helper.js'
import { openRaw, type RawAnswer, sendRaw } from '../support/raw-http.js'

const EXECUTE = '/api/agent/execute'
const BODY = JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Grüße' }], stream: false })
const KEY = `x-api-key: ${DEMO_KEY}`
/** As the HTTP client of Java sends it, which prefers HTTP/2, and curl with --http2. */
const H2C = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA']

/** Sends a request in bytes, and reads the answer. Its connection ends with it. */
function ask (t: Test, { url }: Service, line: string, headers: string[] = [], body?: string): Promise<RawAnswer> {
  const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
  const connection = headers.some(header => /^connection:/i.test(header)) ? [] : ['Connection: close']
  return sendRaw(t, url, `${[`${line} HTTP/1.1`, 'Host: x', ...connection, ...headers, ...length].join('\r\n')}\r\n\r\n${body ?? ''}`)
}

t.test('an offer of HTTP/2 is answered as HTTP/1.1', async t => {
  const service = await startService(t)
  const { authorization } = await bearer()
  const offer = H2C.map(header => header.replace('Connection: ', 'Connection: close, '))
  const asked = (line: string, headers: string[] = [], body?: string) => ask(t, service, line, [...offer, ...headers], body)

  t.test('at every route, with a body and without', async t => {
    t.match(await asked('GET /health'), { status: 200, body: /"healthy"/ })
    t.match(await asked('GET /ready'), { status: 200, body: /"ready"/ })
    t.match(await asked('GET /api/credits', [`Authorization: ${authorization}`]), { status: 200, body: /creditsRemaining/ })
    t.match(await asked('GET /api/credits'), { status: 401, body: /"unauthorized"/ })
    t.match(await asked('GET /ws'), { status: 404, body: /"not_found"/ })
    t.match(await asked('GET /nothing'), { status: 404, body: /"not_found"/ })
    t.match(await asked('POST /health'), { status: 405, headers: { allow: 'GET, HEAD' } })
    t.match(await asked(`POST ${EXECUTE}`, [KEY, 'Content-Type: application/json'], BODY), { status: 200, body: /"response":"Hello world"/ })
    t.match(service.gateway.calls.at(-1)!.body.messages.at(-1), { content: 'Grüße' }, 'the body is whole')
  })

  t.test('that streams, or whose body comes in chunks and later', async t => {
    const answer = await asked(`POST ${EXECUTE}`, [KEY, 'Content-Type: application/json', 'X-Stream-Events: *'], BODY.replace('false', 'true'))
    t.equal(textOf(parseStream(answer.body.replace(/\r\n[0-9a-f]+\r\n/g, ''))), 'Hello world')
    const socket = await openRaw(t, service.url)
    socket.write(`POST ${EXECUTE} HTTP/1.1\r\nHost: x\r\n${[...offer, KEY].join('\r\n')}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`)
    await new Promise(resolve => setImmediate(resolve))
    for (const piece of [BODY.slice(0, 20), BODY.slice(20)]) socket.write(`${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`)
    socket.write('0\r\n\r\n')
    t.match(await text(socket), /^HTTP\/1\.1 200 OK\r\n.*"response":"Hello world"/s)
  })

  t.test('on a connection that is kept, again and again, and in the order of what was asked', async t => {
    const socket = await openRaw(t, service.url)
    const kept = `\r\nHost: x\r\n${H2C.join('\r\n')}\r\n\r\n`
    socket.write(`GET /api/agent/health HTTP/1.1${kept}GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nPOST /health HTTP/1.1${kept}GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    t.same([...(await text(socket)).matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status)), [200, 404, 405, 200])
  })

  t.test('behind an answer that is under way', async t => {
    service.gateway.reply = hang('half')
    const arriving = service.gateway.nextCall()
    const socket = await openRaw(t, service.url)
    const stream = BODY.replace('false', 'true')
    socket.write(`POST ${EXECUTE} HTTP/1.1\r\nHost: x\r\n${KEY}\r\nX-Stream-Events: *\r\nContent-Length: ${Buffer.byteLength(stream)}\r\n\r\n${stream}` +
      `GET /health HTTP/1.1\r\nHost: x\r\n${offer.join('\r\n')}\r\n\r\n`)
    await arriving
    const { body: { runs: [run] } } = await service.request('GET', '/api/runs?limit=1')
    await service.request('POST', `/api/runs/${run.runId}/cancel`)
    t.match(await text(socket), /^HTTP\/1\.1 200 OK\r\n.*data: \[DONE\].*HTTP\/1\.1 200 OK\r\n.*"healthy"/s)
  })

  t.test('of any other protocol too, and never in the place of a WebSocket', async t => {
    for (const protocol of ['TLS/1.0', 'h2c, websocket', 'IRC/6.9', '']) {
      t.match(await ask(t, service, 'GET /health', ['Connection: close, Upgrade', `Upgrade: ${protocol}`]), { status: 200 }, protocol)
    }
    t.match(await ask(t, service, 'GET /ws', ['Connection: upgrade', 'Upgrade: WebSocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Protocol: jeesi, bearer.wrong']),
      { status: 101 })
  })

  t.test('by curl --http2', async t => {
    const { stdout: features } = await promisify(execFile)('curl', ['--version'])
    if (!/\bHTTP2\b/.test(features)) return t.comment('LEFT OUT: this curl speaks no HTTP/2')
    service.gateway.reply = say('Hello', ' world')
    const curl = async (...args: string[]) => (await promisify(execFile)('curl', ['--silent', '--show-error', '--http2', '--max-time', '20', '--write-out', ' %{http_code} %{http_version}', ...args])).stdout
    t.match(await curl(`${service.url}/health`), /"healthy".* 200 1\.1$/)
    t.match(await curl(`${service.url}/api/credits`), /"unauthorized".* 401 1\.1$/)
    t.match(await curl('--header', KEY, '--header', 'content-type: application/json', '--data', BODY, service.url + EXECUTE), /"response":"Hello world".* 200 1\.1$/)
  })
})

t.test('a method that an address does not take is 405, with those that it takes', async t => {
  const service = await startService(t)
  const id = DEMO_AGENT
  const taken: Record<string, string> = {
    '/health': 'GET, HEAD',
    '/api/agent/health': 'GET, HEAD',
    '/ready': 'GET, HEAD',
    [EXECUTE]: 'POST',
    '/api/agent/execute-validated': 'POST',
    '/api/runs': 'GET, HEAD',
    [`/api/runs/${id}`]: 'GET, HEAD',
    [`/api/runs/${id}/events`]: 'GET, HEAD',
    [`/api/runs/${id}/cancel`]: 'POST',
    '/api/credits': 'GET, HEAD',
    '/api/keys': 'GET, HEAD, POST',
    [`/api/keys/${id}`]: 'DELETE',
    '/api/visitors': 'POST',
    '/api/admin/stats': 'GET, HEAD',
    '/api/admin/runs': 'GET, HEAD',
    [`/api/admin/users/${id}/ledger`]: 'GET, HEAD',
    [`/api/admin/users/${id}/credits`]: 'POST',
    '/api/admin/railway-urls': 'GET, HEAD',
    [`/api/admin/agents/${id}/railway-url`]: 'POST',
    '/ws': 'GET, HEAD'
  }
  for (const [path, allow] of Object.entries(taken)) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'QUERY'].filter(method => !allow.split(', ').includes(method))) {
      const { status, headers, body } = await ask(t, service, `${method} ${path}?token=x`, [], method === 'POST' ? '{"a":' : undefined)
      t.equal(status, 405, `${method} ${path}`)
      t.equal(headers.allow, allow)
      if (method !== 'HEAD') t.match(JSON.parse(body), { code: 'method_not_allowed', statusCode: 405, error: `This address takes ${allow.replaceAll(', ', ' or ')} only.`, requestId: String })
    }
    t.match(await ask(t, service, `OPTIONS ${path}`), { status: 204, headers: { 'access-control-allow-methods': String } }, `OPTIONS ${path} is a browser's question`)
  }
  t.match(await ask(t, service, 'PUT //health'), { status: 405 }, 'doubled slashes are one')
  for (const path of ['/else', '/nothing', '/health/', `/api/runs/${id}/else`, '/api/keys/a/b']) {
    const { status, headers } = await ask(t, service, `PUT ${path}`)
    t.equal(status, 404, path)
    t.notOk('allow' in headers)
  }
})

t.test('HEAD is answered as GET, without the body', async t => {
  const service = await startService(t)
  const { authorization } = await bearer()
  const { headers } = await service.execute()
  for (const path of ['/health', '/api/agent/health', '/ready', '/api/credits', '/api/runs', `/api/runs/${headers.get('x-run-id')}`]) {
    const { status, body, headers } = await ask(t, service, `HEAD ${path}`, [`Authorization: ${authorization}`])
    t.match({ status, body }, { status: 200, body: '' }, path)
    t.match(headers['content-type'], /^application\/json/)
  }
  t.match(await ask(t, service, 'HEAD /health', H2C.map(header => header.replace('Connection: ', 'Connection: close, '))), { status: 200, body: '' })
  service.gateway.reply = hang('half')
  const arriving = service.gateway.nextCall()
  const { body: run } = await service.request('POST', EXECUTE, { body: { ...JSON.parse(BODY), background: true } })
  await arriving
  t.match(await ask(t, service, `HEAD /api/runs/${run.runId}/events`, [`Authorization: ${authorization}`]), { status: 200, body: '', headers: { 'content-type': /^text\/event-stream/ } },
    'of a run that goes on too')
})

t.test('a body whose type nobody has told is read where it is JSON', async t => {
  const service = await startService(t, { BODY_LIMIT: '5000' })
  const types = ['', 'Content-Type:', 'Content-Type: text/plain;charset=UTF-8', 'Content-Type: application/x-www-form-urlencoded', 'Content-Type: application/vnd.api+json', 'Content-Type: text/json']
  const post = (type: string, body: string, headers = [KEY]) => ask(t, service, `POST ${EXECUTE}`, [...headers, ...(type ? [type] : [])], body)

  t.test('by every route', async t => {
    for (const type of types) {
      t.match(await post(type, BODY), { status: 200, body: /"response":"Hello world"/ }, type)
      t.match(await ask(t, service, 'POST /api/agent/execute-validated', [`X-Railway-Secret: ${BACKEND_SECRET}`, ...(type ? [type] : [])], '{}'), { status: 400, body: /agentId|userId/ }, type)
    }
  })

  t.test('and is none otherwise, in words', async t => {
    for (const type of types.slice(0, 4)) {
      for (const body of ['Hello', '{"agentId":', 'agentId=1&messages=2']) t.match(await post(type, body), { status: 415, body: /"The body must be JSON, with content-type: application\/json\."/ }, `${type} ${body}`)
      t.match(await post(type, '{}'), { status: 400, body: /"bad_request"/ })
    }
    t.match(await post('Content-Type: application/json', '{"agentId":'), { status: 400, body: /"invalid_json"/ })
    for (const type of ['multipart/form-data; boundary=x', 'application/xml', 'application/octet-stream', 'json', 'application/json, application/json']) {
      t.match(await post(`Content-Type: ${type}`, BODY), { status: 415, body: /"unsupported_media_type"/ }, type)
    }
  })

  t.test('by a caller who is known, and of the size that bodies may have', async t => {
    for (const type of types) {
      t.match(await post(type, BODY, []), { status: 401 }, type)
      t.match(await post(type, `{"x":"${'x'.repeat(5000)}"}`), { status: 413, body: /"body_too_large"/ }, type)
      t.match(await post(type, `${'['.repeat(200)}${']'.repeat(200)}`), { status: 400, body: /nested/ }, type)
    }
  })
})

t.test('what needs no body takes a content type all the same', async t => {
  const service = await startService(t)
  const { authorization } = await bearer()
  const { headers } = await service.execute()
  const { body: key } = await service.request('POST', '/api/keys', { body: { name: 'k', publishable: true, agentIds: [DEMO_AGENT], origins: ['https://a.example'] } })
  for (const type of ['application/json', 'application/json; charset=utf-8', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    for (const length of [undefined, '']) {
      const of = [`Authorization: ${authorization}`, `Content-Type: ${type}`]
      t.match(await ask(t, service, `POST /api/runs/${headers.get('x-run-id')}/cancel`, of, length), { status: 200, body: /"status":"succeeded"/ }, type)
      t.match(await ask(t, service, 'POST /api/visitors', [`X-Api-Key: ${key.key}`, 'Origin: https://a.example', `Content-Type: ${type}`], length), { status: 201 }, type)
      t.match(await ask(t, service, `DELETE /api/keys/${key.id}x`, of, length), { status: 400, body: /"path":"id"/ }, type)
    }
  }
  const head = `POST /api/runs/${headers.get('x-run-id')}/cancel HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${authorization}`
  t.match(await sendRaw(t, service.url, `${head}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`), { status: 200 }, 'in chunks')
  t.match(await ask(t, service, `POST ${EXECUTE}`, [KEY, 'Content-Type: application/json'], ''), { status: 400, body: /"invalid_json"/ }, 'what needs one says so')
})

t.test('an empty x-api-key beside a good token is no key', async t => {
  const service = await startService(t)
  const { authorization } = await bearer()
  for (const key of ['x-api-key:', 'x-api-key:  \t', 'X-API-Key: ', 'x-api-key:\r\nx-api-key: ']) {
    t.match(await ask(t, service, 'GET /api/credits', [key, `Authorization: ${authorization}`]), { status: 200 }, JSON.stringify(key))
    t.match(await ask(t, service, `POST ${EXECUTE}`, [key, `Authorization: ${authorization}`, 'Content-Type: application/json'], BODY), { status: 200 })
    t.match(await ask(t, service, 'GET /api/credits', [key]), { status: 401 })
    t.match(await ask(t, service, 'GET /api/credits', [key, 'Authorization: Bearer wrong']), { status: 401 })
  }
  t.match(await fetch(`${service.url}${EXECUTE}`, { method: 'POST', headers: { 'x-api-key': '', ...ALL_EVENTS, ...await bearer() }, body: BODY }), { status: 200 }, 'and a body of fetch is text')
})
