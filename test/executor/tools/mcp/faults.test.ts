import type { ServerResponse } from 'node:http'
import t from 'tap'
import { startMcp, text, tool } from '../../../support/doubles/mcp.js'
import { mcp, open } from './open.js'
import { failureOf, respond, startServer } from '../../../support/tools.js'

function sendJson (response: ServerResponse, status: number, body: unknown): true {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  return true
}

t.test('a session that the server has lost is begun anew, and the call is made once more', async t => {
  const server = await startMcp(t, { call: name => text(`${name} done`) })
  const { call, close, logged } = await open(t, [mcp(server.url)])
  t.equal(await call('echo'), 'echo done')
  server.restart()
  server.asked.length = 0
  t.equal(await call('echo'), 'echo done')
  t.same(server.asked.map(({ rpc }) => rpc), ['tools/call', 'initialize', 'notifications/initialized', 'tools/call'])
  server.restart()
  server.asked.length = 0
  t.same(await Promise.all([call('echo'), call('echo'), call('echo')]), Array(3).fill('echo done'))
  t.equal(server.asked.filter(({ rpc }) => rpc === 'initialize').length, 1, 'calls at once share the new one')
  t.equal(server.sessions.size, 1)
  await close()
  t.equal(server.sessions.size, 0, 'and it is ended')
  t.same(logged, [])
})

t.test('so is one that a server says to have lost by 400; one that is lost each time fails', async t => {
  let lost = 1
  const server = await startMcp(t, {
    answer ({ method }, response) {
      return method === 'tools/call' && lost-- > 0 && sendJson(response, lost % 2 === 0 ? 400 : 404, { jsonrpc: '2.0', id: null, error: { code: -32000, message: 'Bad Request: No valid session ID provided' } })
    }
  })
  const { call } = await open(t, [mcp(server.url)])
  t.equal(await call('echo', { a: 'b' }), '{"a":"b"}')
  lost = Infinity
  server.asked.length = 0
  t.equal(await failureOf(call('echo')), 'Bad Request: No valid session ID provided')
  t.equal(server.asked.filter(({ rpc }) => rpc === 'tools/call').length, 2)
})

t.test('one bad tool costs itself alone, and what is odd about others nothing', async t => {
  const tools = [
    null, 'text', { name: 5, inputSchema: { type: 'object' } }, { name: '', inputSchema: {} }, { name: 'array', inputSchema: [] }, { name: 'string', inputSchema: { type: 'string' } },
    { name: 'without_schema' }, { name: 'without_type', inputSchema: { properties: { a: {} } } }, { name: 'odd_required', inputSchema: { type: 'object', required: 'a', properties: [] } },
    { name: 'odd_rest', description: 7, inputSchema: { type: 'object' }, outputSchema: 'none', annotations: [], icons: 5, _meta: 'x', title: {} }, tool('good')
  ]
  for (const era of ['older', 'newer'] as const) {
    const server = await startMcp(t, {
      era,
      answer: ({ method, id }, response) => method === 'tools/list' && sendJson(response, 200, { jsonrpc: '2.0', id, result: { tools } })
    })
    const { tools: offered, call, logged } = await open(t, [mcp(server.url)])
    t.same(offered.map(({ name, parameters }) => [name, parameters]), [
      ['without_schema', { type: 'object' }], ['without_type', { type: 'object', properties: { a: {} } }], ['odd_required', { type: 'object', required: 'a', properties: [] }],
      ['odd_rest', { type: 'object' }], ['good', tool('good').inputSchema]
    ], era)
    t.equal(offered[3]!.description, 'odd_rest')
    t.match(logged, [{ message: 'MCP tools left out', count: 6 }])
    t.equal(await call('good', { a: 'b' }), '{"a":"b"}')
  }
})

t.test('a tool whose schema is too large or too deep costs itself alone too', async t => {
  const deep = JSON.parse(`${'{"properties":'.repeat(200)}{}${'}'.repeat(200)}`)
  const tools = [{ name: 'deep', inputSchema: deep }, { name: 'large', inputSchema: { type: 'object', description: 'x'.repeat(32_001) } }, tool('good')]
  const server = await startMcp(t, { answer: ({ method, id }, response) => method === 'tools/list' && sendJson(response, 200, { jsonrpc: '2.0', id, result: { tools } }) })
  const { tools: offered, logged } = await open(t, [mcp(server.url)])
  t.same(offered.map(({ name }) => name), ['good'])
  t.match(logged, [{ message: 'MCP tools left out', count: 2, reason: 'their schemas are too large' }])
})

t.test('content that is not known leaves the text beside it, and is said by its type', async t => {
  const results: Record<string, object> = {
    unknown: { content: [{ type: 'text', text: 'before' }, { type: 'hologram', data: 'x' }, { type: 'text', text: 'after' }] },
    broken: { content: [{ type: 'image' }, { type: 'text' }, null, 'bare', { type: 'resource' }, { type: 'resource_link' }, {}, { type: 'text', text: 'and text', annotations: 7 }] },
    string: { content: 'a bare text' },
    structured: { structuredContent: [1, { a: 2 }] },
    both: { content: [{ type: 'text', text: 'words' }], structuredContent: 'odd', isError: 'no' }
  }
  for (const era of ['older', 'newer'] as const) {
    const server = await startMcp(t, {
      era,
      pages: [Object.keys(results).map(name => tool(name))],
      answer: ({ method, id, params }, response) => method === 'tools/call' && sendJson(response, 200, { jsonrpc: '2.0', id, result: results[params.name] })
    })
    const { call } = await open(t, [mcp(server.url)])
    t.equal(await call('unknown'), 'before\n[hologram]\nafter', era)
    t.equal(await call('broken'), '[image, unknown, 0 bytes]\n[text]\n[unknown]\n[unknown]\n[resource unknown, binary, 0 bytes]\n[resource unknown: unknown]\n[unknown]\nand text')
    t.equal(await call('string'), 'a bare text')
    t.equal(await call('structured'), '[1,{"a":2}]')
    t.equal(await call('both'), 'words')
  }
})

t.test('an error of the protocol is told as its sentence, whatever status it comes with', async t => {
  for (const era of ['older', 'newer'] as const) {
    for (const status of [200, 400, 404, 500]) {
      const server = await startMcp(t, {
        era,
        answer: ({ method, id }, response) => method === 'tools/call' && sendJson(response, status, { jsonrpc: '2.0', id, error: { code: -32602, message: 'days must be below 7' } })
      })
      const { call } = await open(t, [mcp(server.url)])
      t.equal(await failureOf(call('echo')), 'days must be below 7', `${era}, ${status}`)
    }
  }
})

t.test('a redirect within the server is followed, and none elsewhere', async t => {
  const server = await startMcp(t, {
    era: 'both',
    before (request, response) {
      if (request.url === '/mcp/') return false
      request.resume()
      response.writeHead(308, { location: '/mcp/' }).end()
      return true
    }
  })
  const { call } = await open(t, [mcp(server.url, { headers_json: { Authorization: 'secret-word' } })])
  t.equal(await call('echo', { a: 'b' }), '{"a":"b"}')
  t.equal(server.asked.at(-1)!.headers.authorization, 'secret-word')

  const elsewhere = await startServer(t, respond(200))
  for (const status of [301, 302, 303, 307, 308]) {
    const redirecting = await startServer(t, response => { response.writeHead(status, { location: elsewhere.url }).end() })
    const { tools, logged } = await open(t, [mcp(redirecting.url)])
    t.same(tools, [])
    t.match(logged, [{ reason: `127.0.0.1 answered with status ${status}.` }])
  }
  t.equal(elsewhere.requests.length, 0)
})

t.test('a call that fails otherwise says how, and quotes nothing', async t => {
  const answers: Array<[(response: ServerResponse) => unknown, RegExp]> = [
    [response => response.writeHead(500).end('secret-word'), /^127\.0\.0\.1 answered with status 500\.$/],
    [response => response.writeHead(401).end('secret-word'), /asks for other credentials \(status 401\)/],
    [response => response.writeHead(403, { 'www-authenticate': 'Bearer error="insufficient_scope"' }).end(), /asks for other credentials \(status 403\)/],
    [response => response.writeHead(200, { 'content-type': 'text/html' }).end('secret-word'), /does not speak MCP/],
    [response => sendJson(response, 200, { jsonrpc: '2.0', id: 'secret-word', wrong: true }), /does not speak MCP/]
  ]
  for (const [send, sentence] of answers) {
    const server = await startMcp(t, { answer: ({ method }, response) => { if (method === 'tools/call') send(response); return method === 'tools/call' } })
    const { call } = await open(t, [mcp(server.url)])
    const failure = await failureOf(call('echo'))
    t.match(failure, sentence)
    t.notMatch(failure, /secret-word/)
  }
})

t.test('of a server that cannot be used it is said what it does, and "does not speak MCP" of none that does', async t => {
  const result = (results: Record<string, unknown>) => (response: ServerResponse, asked: { body: string }) => {
    const { id, method } = JSON.parse(asked.body || '{}') as { id?: number, method?: string }
    if (id === undefined) return response.writeHead(202).end()
    const answer = results[method!] ?? { error: { code: -32601, message: 'secret-word' } }
    sendJson(response, 200, { jsonrpc: '2.0', id, ...answer as object })
  }
  const initialize = { result: { protocolVersion: '2025-06-18', capabilities: {}, serverInfo: { name: 'x', version: '1' } } }
  const future = { 'server/discover': { error: { code: -32022, message: 'secret-word', data: { supported: ['2099-01-01'], requested: '2026-07-28' } } } }
  const cases: Array<[Parameters<typeof startServer>[1], RegExp]> = [
    [result({ initialize }), /refuses what it was asked \(MCP error -32601\)/],
    [result({}), /refuses what it was asked \(MCP error -32601\)/],
    [result({ initialize, 'tools/list': { result: { hello: 1 } } }), /lists its tools otherwise than MCP has it/],
    [result({ initialize: { result: { protocolVersion: '1999-01-01', capabilities: {}, serverInfo: { name: 'x', version: '1' } } } }), /speaks only versions of MCP that are not known here/],
    [result(future), /speaks only versions of MCP that are not known here/],
    [respond(200, { hello: 'secret-word' }), /does not speak MCP/],
    [response => { response.writeHead(200, { 'content-type': 'text/plain' }).end('secret-word') }, /does not speak MCP/],
    [respond(503, 'secret-word'), /answered with status 503/],
    [respond(405), /answered with status 405/]
  ]
  for (const [responder, reason] of cases) {
    const server = await startServer(t, responder)
    const { tools, logged } = await open(t, [mcp(server.url)], { listTimeout: 3_000 })
    t.same(tools, [])
    t.match(logged, [{ message: 'MCP server left out', reason }], String(reason))
    t.notMatch(JSON.stringify(logged), /secret-word/)
  }
})
