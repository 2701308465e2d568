import t, { type Test } from 'tap'
import { bearer, endOf, openEvents, type Service, startService } from '../support/helper.js'
import { until } from '../support/until.js'
import { byHand, failureOf, loadPackages, type McpClient, type McpPackage, metaOf, NEWEST, runUnderWay, textOf } from './mcp-client.js'

t.test('calls that are left', async t => {
  const packages = await loadPackages(t)
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  for (const mcp of packages) t.test(`by ${mcp.name}`, async t => testLeaving(t, service, mcp))
})

async function testLeaving (t: Test, service: Service, mcp: McpPackage): Promise<void> {
  const { gateway } = service
  const leaves: Record<string, (client: McpClient, cancel: AbortController) => unknown> = {
    'that is cancelled': (_client, cancel) => cancel.abort(),
    'whose connection is closed': client => client.close()
  }

  for (const [what, leave] of Object.entries(leaves)) {
    await t.test(`a call ${what} ends its run, and costs what was used`, async t => {
      const client = await mcp.connect(t, service.url)
      byHand(service.gateway, `Hello ${what}`)
      const cancel = new AbortController()
      const calling = failureOf(client.call('demo_agent', 'Hi', { signal: cancel.signal }))
      const runId = await runUnderWay(service, `Hello ${what}`)
      await leave(client, cancel)
      await calling
      t.match(await endOf(service, runId), { status: 'cancelled', creditsCharged: 1 })
      await gateway.calls.at(-1)!.closed
    })
  }

  await t.test('a run that somebody else follows goes on', async t => {
    const client = await mcp.connect(t, service.url)
    const finish = byHand(service.gateway, 'Followed ')
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await runUnderWay(service, 'Followed ')
    const following = await openEvents(service.url, runId)
    await client.close()
    await calling
    await untilLeft(service, runId)
    finish('to the end')
    t.match(await following.text(), '"response":"Followed to the end"')
    t.match(await endOf(service, runId), { status: 'succeeded' })
  })

  await t.test('with an Idempotency-Key a run goes on, and who calls again is told its answer', async t => {
    const headers = { ...await bearer(), 'idempotency-key': `again by ${mcp.name}` }
    const client = await mcp.connect(t, service.url, { headers })
    const finish = byHand(service.gateway, 'Kept ')
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await runUnderWay(service, 'Kept ')
    await client.close()
    await calling
    await untilLeft(service, runId)
    const calls = gateway.calls.length
    const again = (await mcp.connect(t, service.url, { headers })).call('demo_agent', 'Hi')
    finish('to the end')
    const result = await again
    t.match([textOf(result), metaOf(result).run.runId], ['Kept to the end', runId])
    t.equal(gateway.calls.length, calls)
  })
}

/** Resolves when the service knows that the client has left, and lets the run go on. */
async function untilLeft ({ logs }: Service, runId: string): Promise<void> {
  const line = await until(async () => logs.find(line => line.includes('a client has left its call') && line.includes(runId)), found => found !== undefined)
  if (!JSON.parse(line!).goesOn) throw new Error('the run does not go on')
}

t.test('a call that waits in the queue says so, and is left like any other', async t => {
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1' })
  const finish = byHand(service.gateway, 'First ')
  const client = await NEWEST.connect(t, service.url)
  const first = client.call('demo_agent', 'First')
  await runUnderWay(service, 'First ')
  const second = await NEWEST.connect(t, service.url)
  let queued = () => {}
  const waits = new Promise<void>(resolve => { queued = resolve })
  const cancel = new AbortController()
  const waiting = failureOf(second.call('demo_agent', 'Second', {
    signal: cancel.signal,
    onprogress: ({ message }) => { if (message === 'Waiting in the queue, at position 1') queued() }
  }))
  await waits
  const { body: { runs: [{ runId }] } } = await service.request('GET', '/api/runs?limit=1')
  cancel.abort()
  await waiting
  t.match(await endOf(service, runId), { status: 'cancelled', creditsCharged: 0 })
  finish('to the end')
  t.equal(textOf(await first), 'First to the end')
})
