import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { EventSource } from 'undici'
import { WebSocket } from 'ws'
import { delta, ending, openStream } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_KEY, DEMO_USER, OTHER_USER, type Service, startService } from '../support/helper.js'

const ASKED = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }

async function begin ({ request }: Service): Promise<string> {
  return (await request('POST', '/api/agent/execute', { body: ASKED })).body.runId
}

async function ticketOf ({ request }: Service, runId?: string, headers?: Record<string, string>): Promise<string> {
  const { status, body } = await request('POST', '/api/tickets', { body: { runId }, headers })
  if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body.ticket
}

/** Reads a run's events as a client that can send no header but those of a browser. */
async function read ({ url }: Service, runId: string, ticket: string, lastEventId?: number): Promise<{ status: number, text: string }> {
  const response = await fetch(`${url}/api/runs/${runId}/events?ticket=${ticket}`, { headers: lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) } })
  return { status: response.status, text: await response.text() }
}

/** What comes of a WebSocket: its first message, or the code with which it is closed. */
async function openSocket ({ url }: Service, ticket: string): Promise<{ socket: WebSocket, first?: any, code?: number }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?ticket=${ticket}`)
  return Promise.race([
    once(socket, 'message').then(([data]) => ({ socket, first: JSON.parse(String(data)) })),
    once(socket, 'close').then(([code]) => ({ socket, code }))
  ])
}

t.test('tickets', async t => {
  const service = await startService(t)
  const runId = await begin(service)

  await t.test('open a run\'s events once, and again for a reader that says what it has', async t => {
    const { status, body, headers } = await service.request('POST', '/api/tickets', { body: {} })
    t.equal(status, 201)
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal((await service.request('POST', '/api/tickets')).status, 201, 'a body is not needed')
    t.match(body, { ticket: /^tkt_[\w-]{32}$/ })
    const seconds = (Date.parse(body.expiresAt) - Date.now()) / 1000
    t.ok(seconds > 50 && seconds <= 61, body.expiresAt)
    const first = await read(service, runId, body.ticket)
    t.equal(first.status, 200)
    t.match(first.text, /^id: 1\ndata: \{"type":"started".*\n\ndata: \[DONE\]\n\n$/s)
    t.equal((await read(service, runId, body.ticket)).status, 401, 'not twice')
    const again = await read(service, runId, body.ticket, 1)
    t.equal(again.status, 200)
    t.match(again.text, /^id: 2\n/)
    t.equal((await read(service, await begin(service), body.ticket, 1)).status, 401, 'nor another run')
    t.notMatch(service.logs.join(''), body.ticket, 'no log has one')
  })

  await t.test('an EventSource takes up a stream that is cut', async t => {
    let finish = () => {}
    service.gateway.reply = response => {
      openStream(response).write(delta('Hello'))
      finish = () => { response.end(delta(' world') + ending()) }
    }
    const asked = service.gateway.nextCall()
    const id = await begin(service)
    await asked
    const source = new EventSource(`${service.url}/api/runs/${id}/events?ticket=${await ticketOf(service, id)}`)
    t.teardown(() => source.close())
    let text = ''
    const ended = new Promise<void>(resolve => {
      source.onmessage = ({ data }) => {
        if (data === '[DONE]') return resolve()
        const event = JSON.parse(data)
        if (event.type !== 'chunk') return
        text += event.content
        if (text === 'Hello') service.app.server.closeAllConnections()
      }
      let opened = 0
      source.onopen = () => { if (++opened === 2) finish() }
    })
    await ended
    t.equal(text, 'Hello world')
  })

  await t.test('open a WebSocket once', async t => {
    const ticket = await ticketOf(service)
    const { socket, first } = await openSocket(service, ticket)
    t.match(first, { type: 'connected' })
    socket.terminate()
    t.equal((await openSocket(service, ticket)).code, 1008)
  })

  await t.test('one for a run opens nothing else', async t => {
    const ticket = await ticketOf(service, runId)
    t.equal((await openSocket(service, ticket)).code, 1008)
    t.equal((await read(service, await begin(service), ticket)).status, 401)
    t.equal((await read(service, runId, ticket)).status, 200, 'and is not used up by that')
  })

  await t.test('are refused when they have expired, are nobody\'s, or their caller is gone', async t => {
    const late = `tkt_${'a'.repeat(32)}`
    await service.app.database.call('create_ticket', {
      p_hash: createHash('sha256').update(late).digest('hex'), p_caller: { kind: 'user', userId: DEMO_USER, apiKeyId: null, visitor: null, mayRead: true }, p_seconds: 0
    })
    t.equal((await read(service, runId, late)).status, 401)
    for (const ticket of ['', 'tkt_', `tkt_${randomUUID()}`, 'x'.repeat(10_000)]) t.equal((await read(service, runId, ticket)).status, 401)
    const { body: key } = await service.request('POST', '/api/keys', { body: { name: 'For a page', scopes: ['read'] } })
    const ticket = await ticketOf(service, undefined, { 'x-api-key': key.key })
    t.equal((await read(service, runId, ticket)).status, 200)
    await service.request('DELETE', `/api/keys/${key.id}`)
    t.equal((await read(service, runId, ticket, 1)).status, 401)
  })

  await t.test('reach what their caller reaches', async t => {
    t.equal((await service.request('POST', '/api/tickets', { body: { runId }, headers: await bearer(OTHER_USER) })).status, 404, 'nobody has one for another\'s run')
    t.equal((await read(service, runId, await ticketOf(service, undefined, await bearer(OTHER_USER)))).status, 404)
    t.equal((await read(service, runId, await ticketOf(service, undefined, { 'x-api-key': DEMO_KEY }))).status, 404, 'a key reaches the runs that it has begun')
  })
})

t.test('tickets that are wrong are counted against their address', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '5' })
  const statuses: number[] = []
  for (let n = 0; n < 8; n++) statuses.push((await read(service, randomUUID(), 'tkt_wrong')).status)
  t.same([...new Set(statuses)], [401, 429])
})
