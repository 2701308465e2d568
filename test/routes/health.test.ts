import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { startGateway } from '../support/doubles/gateway.js'
import { startBackend, startProject } from '../support/edge.js'
import { DEMO_AGENT, DEMO_KEY, readStream, type Service, startService } from '../support/helper.js'
import { connect } from '../support/socket-client.js'

t.test('GET /api/agent/health answers like GET /health', async t => {
  const { request } = await startService(t)
  for (const path of ['/health', '/api/agent/health']) {
    t.match(await request('GET', path, { headers: {} }), {
      status: 200,
      body: { status: 'healthy', service: 'jeesi-railway-backend', timestamp: /^\d{4}-.+Z$/, version: String, uptime: Number }
    }, path)
  }
})

t.test('an address whose path has doubled slashes is found', async t => {
  const service = await startService(t)
  t.match(await service.request('GET', '//health'), { status: 200 })
  const response = await fetch(`${service.url}//api//agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': DEMO_KEY },
    body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
  })
  t.equal((await readStream(response)).text, 'Hello world')
  t.match(await service.request('GET', `/api//runs/${response.headers.get('x-run-id')}`), { status: 200, body: { status: 'succeeded' } })
  const client = await connect(t, { ...service, url: `${service.url}/` }, { token: DEMO_KEY })
  t.match(await client.next('connected'), { type: 'connected' })
})

/** How `/ready` answers, and after how many milliseconds. */
async function ready (service: Pick<Service, 'url'>): Promise<{ status: number, body: any, ms: number }> {
  const startedAt = performance.now()
  const response = await fetch(`${service.url}/ready`)
  const body = await response.json()
  return { status: response.status, body, ms: performance.now() - startedAt }
}

t.test('a gateway that is silent keeps the service neither from starting nor from answering', async t => {
  const silent = await startGateway(t)
  let isAsked = () => {}
  const asked = new Promise<void>(resolve => { isAsked = resolve })
  silent.onGet = () => isAsked()
  const startedAt = performance.now()
  const service = await startService(t, {}, silent.url)
  await asked
  t.match(await ready(service), { status: 503, body: { status: 'not_ready', database: 'up', gateway: 'down' } })
  t.ok((await ready(service)).ms < 1000)
  t.equal((await service.request('GET', '/health', { headers: {} })).status, 200)
  t.comment(`started and answered within ${Math.round(performance.now() - startedAt)} ms`)
})

t.test('/ready knows a gateway that refuses the key, and the log says so', async t => {
  const closed = await startGateway(t)
  closed.onGet = response => { response.writeHead(401).end('{"error":{"message":"Invalid API key"}}') }
  const service = await startService(t, {}, closed.url)
  t.match(await ready(service), { status: 503, body: { status: 'not_ready', gateway: 'down', database: 'up' } })
  const line = service.logs.map(line => JSON.parse(line)).find(({ message }) => message.startsWith('the AI gateway refuses the key'))
  t.match(line, { level: 'error', status: 401, message: /LOVABLE_API_KEY/ })
  t.notMatch(service.logs.join(''), /test-gateway-key/)
})

t.test('/ready answers within a second while the database hangs', async t => {
  const project = await startProject(t)
  const hanging = { isOn: false }
  const proxy = createServer((request, response) => {
    if (hanging.isOn) return
    const forwarded = httpRequest(`${project.url}${request.url}`, { method: request.method, headers: request.headers }, answer => { answer.pipe(response.writeHead(answer.statusCode!, answer.headers)) })
    request.pipe(forwarded)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => { proxy.closeAllConnections(); proxy.close() })
  const service = await startBackend(t, { ...project, url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` })
  t.match(await ready(service), { status: 200, body: { database: 'up', gateway: 'up' } })
  hanging.isOn = true
  const answer = await ready(service)
  t.match(answer, { status: 503, body: { database: 'down', gateway: 'up' } })
  t.ok(answer.ms < 1000, `${Math.round(answer.ms)} ms`)
})

t.test('what is copied behind the base of a gateway is left off, and the log says so', async t => {
  const gateway = await startGateway(t)
  const service = await startService(t, {}, `${gateway.url}/chat/completions`)
  await service.execute()
  t.equal(gateway.calls[0]!.path, '/v1/chat/completions')
  t.ok(service.logs.some(line => line.includes('AI_GATEWAY_URL is the base, without /chat/completions at its end')))
})
