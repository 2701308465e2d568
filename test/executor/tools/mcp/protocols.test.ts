import type { ServerResponse } from 'node:http'
import t from 'tap'
import { OlderServers } from '../../../../src/executor/tools/mcp/older-servers.js'
import { startMcp, text, tool } from '../../../support/doubles/mcp.js'
import { mcp, open } from './open.js'
import { failureOf } from '../../../support/tools.js'

const rpcOf = ({ asked }: { asked: Array<{ rpc?: string }> }) => asked.map(({ rpc }) => rpc)

t.test('a server of 2026-07-28 is reached without handshake and session, over event streams and with plain JSON', async t => {
  for (const json of [false, true]) {
    const server = await startMcp(t, { era: 'newer', json, pages: [[tool('weather')], [tool('second')]] })
    const { tools, call, logged, close } = await open(t, [mcp(server.url, { headers_json: { Authorization: 'Bearer t' } })])
    t.same(tools.map(({ name }) => name), ['weather', 'second'])
    t.equal(await call('weather', { a: 'Köln' }), '{"a":"Köln"}')
    await close()
    t.same(rpcOf(server), ['server/discover', 'tools/list', 'tools/list', 'tools/call'])
    t.match(server.asked.at(-1)!.headers, { authorization: 'Bearer t', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'weather' })
    t.notOk(server.asked.some(({ headers }) => 'mcp-session-id' in headers))
    t.same(logged, [])
  }
})

t.test('a server that knows both is spoken to in the newer protocol, and one that knows the older alone in that', async t => {
  const both = await startMcp(t, { era: 'both' })
  const older = await startMcp(t)
  const { tools, call } = await open(t, [mcp(both.url, {}, 'both'), mcp(older.url, {}, 'older')])
  t.same(tools.map(({ name }) => name), ['echo', 'older_echo'])
  t.equal(await call('echo', { a: '1' }), '{"a":"1"}')
  t.equal(await call('older_echo', { a: '2' }), '{"a":"2"}')
  t.same(rpcOf(both), ['server/discover', 'tools/list', 'tools/call'])
  t.same(rpcOf(older), ['server/discover', 'initialize', 'notifications/initialized', 'tools/list', 'tools/call'])
})

t.test('an older server that answers the question for versions by 503, by a page or not at all is reached all the same, and not asked again', async t => {
  for (const reply of [
    (response: ServerResponse) => response.writeHead(503).end('down'),
    (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>hello</p>'),
    () => {}
  ]) {
    const server = await startMcp(t, {
      answer ({ method }, response) {
        if (method === 'server/discover') reply(response)
        return method === 'server/discover'
      }
    })
    for (const first of [['server/discover', 'initialize'], ['initialize', 'notifications/initialized']]) {
      server.asked.length = 0
      const { tools, close } = await open(t, [mcp(server.url)], { listTimeout: 2_000 })
      t.same(tools.map(({ name }) => name), ['echo'])
      t.same(rpcOf(server).slice(0, 2), first)
      await close()
    }
  }
})

t.test('a newer server that is silent at first, since it had to be woken, is asked again', async t => {
  let isAwake = false
  const server = await startMcp(t, {
    era: 'newer',
    answer ({ method }) {
      const isSilent = method === 'server/discover' && !isAwake
      if (isSilent) isAwake = true
      return isSilent
    }
  })
  t.same((await open(t, [mcp(server.url)], { listTimeout: 2_000 })).tools.map(({ name }) => name), ['echo'])
  t.same(rpcOf(server), ['server/discover', 'initialize', 'server/discover', 'tools/list'])
})

t.test('an older server that has become a newer one is reached again', async t => {
  let isOlder = true
  const newer = await startMcp(t, {
    era: 'newer',
    answer ({ method, id }, response) {
      if (!isOlder) return false
      const results: Record<string, object> = {
        initialize: { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } }, 'tools/list': { tools: [tool('old')] }
      }
      const result = results[method ?? '']
      response.writeHead(id === undefined ? 202 : 200, { 'content-type': 'application/json' })
      response.end(id === undefined ? '' : JSON.stringify({ jsonrpc: '2.0', id, ...(result ? { result } : { error: { code: -32601, message: 'no' } }) }))
      return true
    }
  })
  t.same((await open(t, [mcp(newer.url)])).tools.map(({ name }) => name), ['old'])
  isOlder = false
  newer.asked.length = 0
  t.same((await open(t, [mcp(newer.url)])).tools.map(({ name }) => name), ['echo'])
  t.same(rpcOf(newer).slice(0, 3), ['initialize', 'server/discover', 'tools/list'])
})

t.test('which servers are older is known for an hour, of a thousand of them', async t => {
  let now = 0
  const servers = new OlderServers(() => now)
  const at = (n: number) => new URL(`https://${n}.example/mcp?key=secret`)
  for (let n = 0; n < 1_001; n++) servers.add(at(n))
  t.notOk(servers.has(at(0)))
  t.ok(servers.has(at(1)))
  t.ok(servers.has(new URL('https://1.example/mcp')), 'whatever the query')
  servers.delete(at(1))
  t.notOk(servers.has(at(1)))
  now = 60 * 60_000
  t.notOk(servers.has(at(1_000)))
})

t.test('a run that is cancelled closes the response of a newer server, which hears of it', async t => {
  let heard = () => {}
  const cancelled = new Promise<void>(resolve => { heard = resolve })
  const run = new AbortController()
  const server = await startMcp(t, {
    era: 'newer',
    call: (_name, _args, signal) => new Promise(resolve => {
      signal.addEventListener('abort', () => { heard(); resolve(text('')) })
      run.abort(new Error('cancelled'))
    })
  })
  const { call } = await open(t, [mcp(server.url)])
  await t.rejects(call('echo', {}, run.signal), /^cancelled$/)
  await cancelled
})

t.test('a newer server that asks for input is told apart, and arguments that it wants as headers are', async t => {
  const inputSchema = { type: 'object' as const, properties: { region: { type: 'string', 'x-mcp-header': 'Region' } } }
  const server = await startMcp(t, {
    era: 'newer',
    pages: [[tool('routed', { inputSchema }), tool('asks')]],
    answer ({ id, params }, response) {
      if (params?.name !== 'asks') return false
      const result = { resultType: 'input_required', inputRequests: { a: { method: 'elicitation/create', params: { message: 'Who?', requestedSchema: { type: 'object', properties: {} } } } } }
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, result }))
      return true
    }
  })
  const { call } = await open(t, [mcp(server.url)])
  t.equal(await call('routed', { region: 'eu' }), '{"region":"eu"}')
  t.equal(server.asked.at(-1)!.headers['mcp-param-region'], 'eu')
  t.equal(await failureOf(call('asks')), '127.0.0.1 asks for input, which a run cannot give.')
})
