import t from 'tap'
import { DEMO_AGENT, DEMO_KEY, readStream, startService } from '../support/helper.js'
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
