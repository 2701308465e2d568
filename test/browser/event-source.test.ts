import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { type Page, startBrowser } from '../support/browser.js'
import { delta, ending, openStream, refuse, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, endOf, type Service, startService } from '../support/helper.js'

/** What a page asked of the service, and what it was answered. */
interface Visit { lastEventId: string | undefined, status: number }

/**
 * A page, and beside it the service's own addresses: an EventSource can send no authorization, which is added on the way. The
 * first line of a stream has the browser wait for 10 ms instead of three seconds before it asks again.
 */
async function startOrigin (t: Test, service: Service): Promise<{ url: string, visits: Visit[] }> {
  const visits: Visit[] = []
  const server = createServer(async (request, response) => {
    if (!request.url!.startsWith('/api/')) return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>')
    const { accept = '', 'last-event-id': lastEventId } = request.headers as Record<string, string>
    const answer = await fetch(service.url + request.url, { headers: { accept, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }), ...await bearer() } })
    visits.push({ lastEventId, status: answer.status })
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' })
    if (answer.body) {
      response.write('retry: 10\n\n')
      for await (const piece of answer.body) response.write(piece)
    }
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, visits }
}

/** Follows an address until the browser asks no more. Returns what it was told. */
async function follow (page: Page, path: string): Promise<Array<{ id: string, data: string }>> {
  await page.evaluate(path => {
    const world = globalThis as any
    world.told = []
    world.source = new world.EventSource(path)
    world.source.onmessage = ({ lastEventId, data }: any) => { world.told.push({ id: lastEventId, data }) }
  }, path)
  await page.waitForFunction(() => (globalThis as any).source.readyState === 2, undefined)
  return page.evaluate(() => (globalThis as any).told, undefined)
}

t.test('an EventSource of a real browser', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const service = await startService(t)
  const { gateway } = service
  const { url, visits } = await startOrigin(t, service)
  const page = await open()
  await page.goto(url)
  const begin = async () => (await service.request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })).body.runId as string
  t.beforeEach(() => { visits.length = 0 })

  t.test('is told a run to its end once, and asks no more', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const arriving = gateway.nextCall()
    const runId = await begin()
    await arriving
    const following = follow(page, `/api/runs/${runId}/events`)
    finish()
    const told = await following
    const { seq: last, texts } = { seq: Number(told.at(-1)!.id), texts: told.filter(({ data }) => data.includes('"chunk"')).map(({ data }) => JSON.parse(data).content) }
    t.equal(texts.join(''), 'Hello')
    t.equal(told.filter(({ data }) => data.includes('"done"')).length, 1)
    t.same(visits, [{ lastEventId: undefined, status: 200 }, { lastEventId: String(last), status: 204 }])
  })

  t.test('is told a run that has ended before, or failed, and asks no more', async t => {
    for (const [reply, type] of [[say('Hello'), '"done"'], [refuse(402), '"error"']] as const) {
      visits.length = 0
      gateway.reply = reply
      const runId = await begin()
      await endOf(service, runId)
      const told = await follow(page, `/api/runs/${runId}/events`)
      t.equal(told.filter(({ data }) => data.includes(type)).length, 1)
      t.same(visits.map(({ status }) => status), [200, 204])
    }
  })

  t.test('that was opened behind the last event asks once', async t => {
    gateway.reply = say('Hello')
    const runId = await begin()
    await endOf(service, runId)
    t.same(await follow(page, `/api/runs/${runId}/events?after=${service.app.events.last(runId)}`), [])
    t.same(visits, [{ lastEventId: undefined, status: 204 }])
  })
})
