import t from 'tap'
import { endOf, startService } from '../support/helper.js'
import { byHand, failureOf, loadPackages, metaOf, NEWEST, runUnderWay, textOf } from './mcp-client.js'

t.test('a connection that ends before the run is an error that names it, and the run goes on', async t => {
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })
  for (const mcp of await loadPackages(t)) {
    const client = await mcp.connect(t, service.url)
    const finish = byHand(service.gateway, 'Hello ')
    const failure = await failureOf(client.call('demo_agent', 'Hi'))
    t.match(failure, { code: -32603, message: /The connection ended before the answer was complete/, data: { code: 'connection_ended', retryable: true, runId: String } })
    finish('world')
    t.match(await endOf(service, failure.data!.runId!), { status: 'succeeded', response: 'Hello world' })
  }
})

t.test('a process that is replaced tells its clients what goes on without them', async t => {
  for (const mcp of await loadPackages(t)) {
    const service = await startService(t)
    const client = await mcp.connect(t, service.url)
    byHand(service.gateway, 'Hello ')
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await runUnderWay(service, 'Hello ')
    const closing = service.app.close()
    t.match(await calling, { code: -32603, data: { code: 'connection_ended', runId } }, mcp.name)
    await closing
    t.notOk(service.logs.some(line => line.includes('run was cancelled') || line.includes('cancelled')), 'the run waits for another process')
  }
})

t.test('a run that ends while its process drains is answered whole', async t => {
  const service = await startService(t, { DRAIN_SECONDS: '100' })
  const client = await NEWEST.connect(t, service.url)
  const finish = byHand(service.gateway, 'Hello ')
  const calling = client.call('demo_agent', 'Hi')
  await runUnderWay(service, 'Hello ')
  const draining = service.app.drain()
  const refused = await client.call('demo_agent', 'Another')
  t.match([refused.isError, metaOf(refused).error], [true, { code: 'shutting_down', retryable: true, retryAfter: Number }])
  finish('world')
  t.equal(textOf(await calling), 'Hello world')
  await draining
})
