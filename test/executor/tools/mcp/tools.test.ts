import type { CallToolResult } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import { openMcpTools } from '../../../../src/executor/tools/mcp/tools.js'
import { MAX_RESULT_CHARACTERS } from '#shared/functions/result-text.ts'
import { ToolNames } from '../../../../src/executor/tools/tool-names.js'
import { startMcp, text, tool } from '../../../support/doubles/mcp.js'
import { mcp, open } from './open.js'
import { failureOf, fn, openOutbound, respond, startServer } from '../../../support/tools.js'

for (const json of [false, true]) {
  t.test(`the tools of a server are listed and called, ${json ? 'with plain JSON' : 'over an event stream'}`, async t => {
    const inputSchema = { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'], 'x-more': 1 }
    const server = await startMcp(t, { json, pages: [[tool('weather', { inputSchema }), tool('no_description', { description: undefined })], [tool('third')], [tool('fourth')]] })
    const { tools, call, logged, close } = await open(t, [mcp(server.url, { headers_json: '{"Authorization": "Bearer t", "X-Key": "k"}' })])
    t.match(tools, [
      { name: 'weather', description: 'Does weather.', parameters: inputSchema }, { name: 'no_description', description: 'no_description' }, { name: 'third' }, { name: 'fourth' }
    ])
    t.equal(await call('weather', { city: 'Köln' }), '{"city":"Köln"}')
    t.ok(server.asked.every(({ headers }) => headers.authorization === 'Bearer t' && headers['x-key'] === 'k'))
    t.notOk(server.asked.some(({ method }) => method === 'GET'), 'no stream is opened for what nobody asked')
    t.equal(server.sessions.size, 1)
    await close()
    t.equal(server.sessions.size, 0, 'the session is ended')
    t.same(logged, [])
  })
}

t.test('results are texts, and of all else what it is', async t => {
  const results: Record<string, CallToolResult> = {
    texts: text('one', 'two'),
    parts: {
      content: [
        { type: 'image', data: 'AAAA', mimeType: 'image/png' }, { type: 'audio', data: 'AAAAAAAA', mimeType: 'audio/wav' },
        { type: 'resource_link', name: 'doc', uri: 'file:///doc' }, { type: 'resource', resource: { uri: 'x:1', text: 'inside' } },
        { type: 'resource', resource: { uri: 'x:2', blob: 'AAAA', mimeType: 'application/pdf' } }
      ]
    },
    structured: { content: [], structuredContent: { a: 1 } },
    empty: { content: [] },
    long: text('x'.repeat(MAX_RESULT_CHARACTERS + 5)),
    bad: { ...text('The city is unknown.'), isError: true },
    mute: { content: [], isError: true }
  }
  const server = await startMcp(t, { pages: [Object.keys(results).map(name => tool(name))], call: name => results[name]! })
  const { call } = await open(t, [mcp(server.url)])
  t.equal(await call('texts'), 'one\ntwo')
  t.equal(await call('parts'), '[image, image/png, 3 bytes]\n[audio, audio/wav, 6 bytes]\n[resource doc: file:///doc]\ninside\n[resource x:2, application/pdf, 3 bytes]')
  t.equal(await call('structured'), '{"a":1}')
  t.equal(await call('empty'), '')
  t.equal(await call('long'), 'x'.repeat(MAX_RESULT_CHARACTERS + 5), 'the tool step shortens it')
  t.equal(await failureOf(call('bad')), 'The city is unknown.')
  t.equal(await failureOf(call('mute')), 'The tool failed.')
})

t.test('a server\'s refusal is told to the model, an output schema that is no good is nobody\'s matter', async t => {
  const outputSchema = { type: 'object' as const, properties: { a: { $ref: 'https://elsewhere.example/x' } } }
  const server = await startMcp(t, {
    pages: [[tool('refuses'), tool('odd', { outputSchema })]],
    call: name => { if (name === 'refuses') throw new Error('no such city'); return text('fine') }
  })
  const { call } = await open(t, [mcp(server.url)])
  t.equal(await failureOf(call('refuses')), 'no such city')
  t.equal(await call('odd'), 'fine')
})

t.test('names that collide get their function\'s name, and only tools that are allowed are there', async t => {
  const first = await startMcp(t, { pages: [[tool('search'), tool('a.b c')]] })
  const second = await startMcp(t, { pages: [[tool('search'), tool('other'), tool('hidden')]], call: name => text(`second ${name}`) })
  const names = new ToolNames(['other'])
  const { tools, call } = await open(t, [mcp(first.url, {}, 'one'), mcp(second.url, { allowed_tools: 'search, Other' }, 'Second server'), mcp(second.url, { allowed_tools: ['search'] }, 'Second server')], { names })
  t.same(tools.map(({ name }) => name), ['search', 'a_b_c', 'Second_server_search', 'Second_server_other', 'Second_server_search_2'])
  t.equal(await call('Second_server_search'), 'second search', 'the server hears its own name of the tool')
})

t.test('a server that cannot be used costs its tools and a line in the log', async t => {
  const good = await startMcp(t)
  const silent = await startServer(t, () => {})
  const garbage = await startServer(t, respond(200, { hello: 'secret-word' }))
  const html = await startServer(t, response => { response.writeHead(200, { 'content-type': 'text/html' }).end('<p>secret-word</p>') })
  const locked = await startServer(t, (response, { headers }) => { response.writeHead(401, { 'www-authenticate': 'Bearer' }).end(`no ${headers.authorization}`) })
  const missing = await startServer(t, respond(404))
  const refusing = await startServer(t, (response, { body, headers }) => respond(200, { jsonrpc: '2.0', id: JSON.parse(body || '{}').id, error: { code: -32600, message: `no ${headers.authorization}` } })(response, {} as never, 0))
  const redirecting = await startServer(t, (response) => { response.writeHead(302, { location: good.url }).end() })
  const endless = await startServer(t, response => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const more = () => { while (!response.destroyed && response.write(`data: ${'x'.repeat(65_536)}\n`)); }
    response.on('drain', more)
    more()
  })
  const headers_json = { Authorization: 'secret-word' }
  const bad = [silent, garbage, html, locked, missing, refusing, redirecting, endless].map(({ url }) => mcp(url, { headers_json }))
  const { tools, logged } = await open(t, [
    ...bad, mcp('http://10.0.0.1/mcp'), mcp('nonsense'), mcp(''), mcp(good.url, { headers_json: '{' }), mcp('http://127.0.0.1:1/mcp'), mcp(good.url)
  ], { listTimeout: 12_000 })
  t.same(tools.map(({ name }) => name), ['echo'])
  const reasons = Object.fromEntries(logged.map(({ host, reason }) => [host, reason]))
  const of = ({ port }: { port: number }) => reasons[`127.0.0.1:${port}`]
  t.equal(of(silent), '127.0.0.1 did not list its tools within 12 seconds.')
  t.match(of(garbage), /does not speak MCP/)
  t.match(of(html), /does not speak MCP/)
  t.match(of(locked), /asks for other credentials \(status 401\)/)
  t.match(of(missing), /answered with status 404/)
  t.match(of(refusing), /refuses what it was asked \(MCP error -32600\)/)
  t.match(of(redirecting), /status 302/)
  t.match(of(endless), /more than the 4194304 bytes/)
  t.match(reasons['10.0.0.1'], /not at a public address/)
  t.match(reasons['127.0.0.1:1'], /cannot be reached/)
  t.match(logged.map(({ reason }) => reason).join(), /URL is not valid.*headers_json/s)
  t.equal(logged.length, bad.length + 5)
  t.notMatch(JSON.stringify(logged), /secret-word/)
})

t.test('a call that breaks off, is too large or too slow fails, and the session goes on', async t => {
  let mode = ''
  const server = await startMcp(t, {
    before (request, response) {
      if (mode === '' || request.method !== 'POST') return false
      request.resume()
      request.on('end', () => {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        if (mode === 'break') response.socket!.destroy()
        if (mode === 'large') response.end(`data: ${'x'.repeat(5 * 1024 * 1024)}\n\n`)
      })
      return true
    }
  })
  const { call } = await open(t, [mcp(server.url)], { callTimeout: 1500 })
  mode = 'break'
  t.match(await failureOf(call('echo')), /broke off the connection/)
  mode = 'large'
  t.match(await failureOf(call('echo')), /more than the 4194304 bytes/)
  mode = 'silent'
  t.match(await failureOf(call('echo')), /did not answer in/)
  mode = ''
  t.equal(await call('echo', { a: 'b' }), '{"a":"b"}')
})

t.test('an answer may be fetched in another request, but not for ever', async t => {
  let calls = 0
  let fetches = 0
  let fetchesNeeded = 2
  const server = await startMcp(t, {
    before (request, response) {
      const isFetch = request.method === 'GET'
      // What begins the session, and lists the tools.
      if (!isFetch && calls++ < 4) return false
      if (isFetch) fetches++
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk)).on('end', () => {
        if (!isFetch) id = JSON.parse(Buffer.concat(chunks).toString() || '{}').id
        const answer = JSON.stringify({ jsonrpc: '2.0', id, result: text('at last') })
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.end(`id: ${fetches + 1}\nretry: 1\ndata: ${fetches === fetchesNeeded ? answer : ''}\n\n`)
      })
      return true
    }
  })
  let id: unknown
  const { call, close } = await open(t, [mcp(server.url)], { callTimeout: 1500 })
  t.equal(await call('echo'), 'at last')
  t.equal(fetches, 2)
  fetchesNeeded = Infinity
  t.match(await failureOf(call('echo')), /did not answer in time/)
  t.equal(fetches, 20)
  await close()
})

t.test('a run that is cancelled ends a call under way, and the server hears of it', async t => {
  let heard = () => {}
  const cancelled = new Promise<void>(resolve => { heard = resolve })
  const run = new AbortController()
  const server = await startMcp(t, {
    call: (_name, _args, signal) => new Promise(resolve => {
      signal.addEventListener('abort', () => { heard(); resolve(text('')) })
      run.abort(new Error('cancelled'))
    })
  })
  const { call } = await open(t, [mcp(server.url)])
  await t.rejects(call('echo', {}, run.signal), /^cancelled$/)
  await cancelled
})

t.test('a run that is cancelled while servers are asked has no tools, and leaves no session', async t => {
  let list = () => {}
  const listed = new Promise<void>(resolve => { list = resolve })
  const good = await startMcp(t, {
    before (_request, response, number) {
      if (number === 4) response.once('finish', list)
      return false
    }
  })
  const silent = await startServer(t, () => {})
  const run = new AbortController()
  const arrived = silent.next()
  const opening = open(t, [mcp(good.url), mcp(silent.url)], { signal: run.signal })
  await Promise.all([arrived, listed])
  run.abort(new Error('cancelled'))
  await t.rejects(opening, /^cancelled$/)
  await good.ended
  t.equal(good.sessions.size, 0)
})

t.test('a server whose tools cannot be chosen from is left out, and its session ended', async t => {
  const server = await startMcp(t)
  const broken = { get allowed_tools () { throw new RangeError('too deep') } }
  const { tools, logged } = await open(t, [{ ...mcp(''), config: Object.assign(broken, { url: server.url }) }])
  t.same(tools, [])
  t.match(logged, [{ message: 'MCP server left out', reason: 'failed' }])
  t.equal(server.sessions.size, 0)
})

t.test('without mcp functions nothing is done', async t => {
  const { tools, close } = await openMcpTools([fn('api_call', {})], { owner: { userId: 'a-user' }, outbound: openOutbound(t), names: new ToolNames(), signal: new AbortController().signal, log: () => t.fail() })
  t.same(tools, [])
  await close()
})

/** A server that sends messages of its own with each answer. */
function startFlooding (t: Test, message: (n: number) => object, count: number) {
  return startServer(t, (response, { method, body }) => {
    const { id, method: asked } = method === 'POST' ? JSON.parse(body) : {} as { id?: number, method?: string }
    if (asked === undefined || id === undefined) return response.writeHead(202).end()
    const results: Record<string, object> = {
      initialize: { protocolVersion: '2025-03-26', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } },
      'tools/list': { tools: [tool('echo')] },
      'tools/call': text('fine')
    }
    const event = (data: object) => `event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', ...data })}\n\n`
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const answer = results[asked] ? { result: results[asked] } : { error: { code: -32601, message: 'Method not found' } }
    response.end(Array.from({ length: count }, (_, n) => event(message(n))).join('') + event({ id, ...answer }))
  })
}

t.test('a server\'s own requests are dropped, and of its pings one a second is answered', async t => {
  for (const method of ['ping', 'sampling/createMessage', 'roots/list', 'notifications/message']) {
    const isRequest = !method.startsWith('notifications')
    const server = await startFlooding(t, n => ({ method, params: {}, ...(isRequest ? { id: `own-${n}` } : {}) }), 1_000)
    const { call } = await open(t, [mcp(server.url)])
    t.equal(await call('echo'), 'fine')
    const answers = server.requests.filter(({ body }) => body.includes('own-')).length
    t.ok(method === 'ping' ? answers >= 1 && answers < 10 : answers === 0, `${method}: ${answers} of 3,000 are answered`)
  }
})

t.test('a server that sends more messages or values than are read is told apart from one that is silent', async t => {
  const many = await startFlooding(t, () => ({ method: 'notifications/message', params: {} }), 12_000)
  const pings = JSON.stringify(Array.from({ length: 60_000 }, (_, id) => ({ jsonrpc: '2.0', id, method: 'ping' })))
  const batch = await startServer(t, response => { response.writeHead(200, { 'content-type': 'application/json' }).end(pings) })
  for (const [{ url }, reason] of [[many, /sent an answer of more parts than are read/], [batch, /sent an answer that takes too long to read/]] as const) {
    const { tools, logged } = await open(t, [mcp(url)])
    t.same(tools, [])
    t.match(logged, [{ reason }])
  }
})

t.test('a server that hangs at the notification that it was understood has the time to list its tools', async t => {
  const server = await startMcp(t, {
    before (request) {
      // The first request with a session is the notification.
      return request.method === 'POST' && request.headers['mcp-session-id'] !== undefined
    }
  })
  const startedAt = performance.now()
  const { tools, logged } = await open(t, [mcp(server.url)], { listTimeout: 300 })
  t.same(tools, [])
  t.match(logged, [{ reason: /did not list its tools within 0\.3 seconds/ }])
  t.ok(performance.now() - startedAt < 10_000)
})
