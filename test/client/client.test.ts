import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { WebSocket } from 'ws'
import type { RunEvent } from '#shared/schemas.ts'
import { signAccessToken } from '../../src/auth/access-token.js'
import { type BeginOptions, JeesiError, type NumberedEvent, run, type RunEvent as ClientEvent, RunText } from '../../src/client/client.js'
import { delta, ending, hang, openStream, refuse, say } from '../support/doubles/gateway.js'
import { createPostgres, DEMO_AGENT, DEMO_KEY, DEMO_USER, endOf, findPostgres, JWT_SECRET, type Service, startService, textOf, UNPUBLISHED_AGENT } from '../support/helper.js'
import { startCuttingProxy } from './cutting-proxy.js'

const QUESTION: BeginOptions['messages'] = [{ role: 'user', content: 'Hi' }]
const TRANSPORTS = ['sse', 'websocket'] as const
const PIECES = ['Grüße', ' an', ' alle', ' 🙂', ', und', ' Wörter'.repeat(50), '.']
const WHOLE = PIECES.join('')

/** The client's types are those of the service: else this does not compile. */
const toClientEvent = (event: RunEvent): ClientEvent => event
const toServiceEvent = (event: ClientEvent): RunEvent => event

const token = () => signAccessToken(JWT_SECRET, DEMO_USER)
const ask = (url: string, options: Partial<BeginOptions> = {}) =>
  run({ url, token, agentId: DEMO_AGENT, messages: QUESTION, WebSocket, ...options })

async function read (events: AsyncIterable<NumberedEvent>): Promise<NumberedEvent[]> {
  const told = []
  for await (const event of events) told.push(event)
  return told
}

const textAs = (events: NumberedEvent[]) => events.reduce((text, event) => text.add(event), new RunText()).value

/** Each piece follows when the one before was written: the service reads each by itself. */
const inPieces: Service['gateway']['reply'] = response => {
  openStream(response)
  const rest = [...PIECES]
  const next = () => {
    const piece = rest.shift()
    if (piece === undefined) return response.end(ending())
    response.write(delta(piece), () => setImmediate(next))
  }
  next()
}

t.test('the client', async t => {
  const service = await startService(t)
  const { gateway, url, request } = service
  t.beforeEach(() => { gateway.calls.length = 0 })
  const creditsOf = async () => (await service.credits()).creditsRemaining

  for (const transport of TRANSPORTS) {
    t.test(`by ${transport} yields the events of a run`, async t => {
      gateway.reply = inPieces
      const watched = ask(`${url}/`, { transport })
      t.equal(watched.runId, undefined)
      const events = await read(watched)
      t.equal(textAs(events), WHOLE)
      t.same(events.map(({ seq }) => seq), events.map((_, index) => index + 1))
      t.match(events[0], { type: 'started', runId: watched.runId, agentId: DEMO_AGENT, attempt: 1 })
      t.match(events.at(-1), { type: 'done', response: WHOLE, creditsUsed: 1, usage: { estimated: false } })
      t.equal(watched.after, events.length)
      t.same(toServiceEvent(toClientEvent(events[0]!)), events[0])
      const first = events.findIndex(({ type }) => type === 'chunk')
      t.same(await read(run({ url, token, transport, WebSocket, runId: watched.runId!, after: first })), events.slice(first), 'it can be picked up anywhere')
    })

    t.test(`by ${transport} goes on wherever its connection breaks, with one run and one charge`, async t => {
      const proxy = await startCuttingProxy(t, url)
      gateway.reply = inPieces
      const before = await creditsOf()
      // The heads of an answer are 1,200 bytes and more: the first cuts lose them.
      const lengths = [200, 1000, 1400, 1500, 1600, 2000, 3000]
      for (const [index, passes] of lengths.entries()) {
        proxy.passes = passes
        let connections = proxy.connections
        const events: NumberedEvent[] = []
        const reading = (async () => {
          for await (const event of ask(proxy.url, {
            transport,
            fetch: async (...args) => {
            // The network is well again after three connections.
              if (proxy.connections - connections >= 3) proxy.passes = undefined
              return fetch(...args)
            },
            WebSocket: class extends WebSocket {
              constructor (url: string, protocols: string[]) {
                if (proxy.connections - connections >= 3) proxy.passes = undefined
                super(url, protocols)
              }
            }
          })) events.push(event)
        })()
        await reading
        connections = proxy.connections - connections
        t.equal(textAs(events), WHOLE, `cut after ${passes} bytes, ${connections} connections`)
        t.same(events.map(({ seq }) => seq), events.map((_, index) => index + 1), 'nothing is lost, and nothing told twice')
        t.equal(gateway.calls.length, index + 1)
      }
      t.equal(await creditsOf(), before - lengths.length)
    })

    t.test(`by ${transport} cancels the run when its signal is aborted`, async t => {
      gateway.reply = hang('half')
      const abort = new AbortController()
      const events: NumberedEvent[] = []
      const watched = ask(url, { transport, signal: abort.signal })
      for await (const event of watched) {
        events.push(event)
        if (event.type === 'chunk') abort.abort()
      }
      t.match(events.at(-1), { type: 'cancelled', runId: watched.runId })
      t.equal(textAs(events), 'half')
      await gateway.calls[0]!.closed
      t.match(await endOf(service, watched.runId!), { status: 'cancelled', response: 'half' })
      await t.rejects(read(ask(url, { transport, signal: abort.signal })), { name: 'AbortError' }, 'nothing is begun then')
      t.equal(gateway.calls.length, 1)
    })

    t.test(`by ${transport} is left at once, though the run says nothing`, async t => {
      gateway.reply = hang('half')
      const watched = ask(url, { transport })
      const events = watched[Symbol.asyncIterator]()
      while ((await events.next()).value?.type !== 'chunk');
      const next = events.next()
      await events.return()
      t.same(await next, { value: undefined, done: true })
      await watched.cancel()
      t.match(await endOf(service, watched.runId!), { status: 'cancelled' }, 'and goes on until somebody ends it')

      let tokenAsked = () => {}
      const asked = new Promise<void>(resolve => { tokenAsked = resolve })
      let give = (_token: string) => {}
      const late = ask(url, { transport, token: () => new Promise(resolve => { tokenAsked(); give = resolve }) })[Symbol.asyncIterator]()
      const first = late.next()
      await asked
      const left = late.return()
      give(await token())
      t.same(await Promise.all([first, left]), Array(2).fill({ value: undefined, done: true }), 'nor while a token is waited for')
    })

    t.test(`by ${transport} asks again for a run to be cancelled where that has failed, though the run says nothing`, async t => {
      gateway.reply = hang('half')
      const aborting = new AbortController()
      let refused = 0
      const told: NumberedEvent[] = []
      for await (const event of ask(url, {
        transport,
        signal: aborting.signal,
        fetch: async (address, init) => String(address).endsWith('/cancel') && ++refused <= 2
          ? Response.json({ error: 'Not now.', code: 'database_unavailable' }, { status: 503 })
          : fetch(address, init)
      })) {
        told.push(event)
        if (event.type === 'chunk') aborting.abort()
      }
      t.match(told.at(-1), { type: 'cancelled' })
      t.equal(refused, 3)
    })

    t.test(`by ${transport} goes on after a break, however long the run was quiet before`, async t => {
      const proxy = await startCuttingProxy(t, url)
      let finish = () => {}
      gateway.reply = response => {
        openStream(response).write(delta('half'))
        finish = () => response.end(delta(' a whole') + ending())
      }
      const told: NumberedEvent[] = []
      for await (const event of ask(proxy.url, { transport, patience: 300 })) {
        told.push(event)
        if (event.type !== 'chunk' || event.content !== 'half') continue
        // It is the time that matters.
        await delay(400)
        proxy.cut()
        finish()
      }
      t.equal(textAs(told), 'half a whole')
    })

    t.test(`by ${transport} throws what the service refuses, and asks no more`, async t => {
      const refused: Array<[Partial<BeginOptions>, object]> = [
        [{ agentId: '99999999-9999-4999-8999-999999999999' }, { code: 'agent_not_found' }],
        [{ messages: [] }, { code: 'bad_request' }],
        [{ token: 'jeesi_nobodys_key' }, { code: 'unauthorized', status: 401 }],
        [{ token: async () => 'jeesi_nobodys_key' }, { code: 'unauthorized', status: 401 }]
      ]
      for (const [options, error] of refused) {
        const failure = await read(ask(url, { transport, ...options })).then(() => undefined, error => error)
        t.ok(failure instanceof JeesiError)
        t.match(failure, { name: 'JeesiError', message: /\w/, ...error })
      }
      await t.rejects(read(run({ url, token, transport, WebSocket, runId: '99999999-9999-4999-8999-999999999999' })), { code: 'run_not_found' })
      t.equal(gateway.calls.length, 0)
    })

    t.test(`by ${transport} asks for another token where one was refused`, async t => {
      gateway.reply = say('Hello')
      let asked = 0
      const events = await read(ask(url, { transport, token: async () => asked++ === 0 ? 'expired' : await token() }))
      t.equal(textAs(events), 'Hello')
      t.equal(asked, 2)
    })

    t.test(`by ${transport} tells how a run failed by its last event`, async t => {
      gateway.reply = refuse(402)
      const events = await read(ask(url, { transport }))
      t.match(events.at(-1), { type: 'error', code: 'gateway_payment_required', retryable: false })
    })
  }

  t.test('by a WebSocket gives another token when the one before expires, and the run goes on', async t => {
    gateway.reply = async response => {
      openStream(response).write(delta('Hello'))
      await secondAsked
      response.end(delta(' again') + ending())
    }
    let second = () => {}
    const secondAsked = new Promise<void>(resolve => { second = resolve })
    let asked = 0
    const events = await read(ask(url, {
      transport: 'websocket',
      token: async () => {
        if (++asked === 1) return signAccessToken(JWT_SECRET, DEMO_USER, '3s')
        second()
        return token()
      }
    }))
    t.equal(textAs(events), 'Hello again')
    t.equal(asked, 2)
  })

  t.test('begins with an API key', async t => {
    gateway.reply = say('Hello')
    t.equal(textAs(await read(ask(url, { token: DEMO_KEY }))), 'Hello')
  })

  t.test('leaves the run going when its reader leaves the loop', async t => {
    let go = () => {}
    gateway.reply = async response => {
      openStream(response).write(delta('one'))
      await new Promise<void>(resolve => { go = resolve })
      response.end(delta(' two') + ending())
    }
    const watched = ask(url)
    for await (const { type } of watched) if (type === 'chunk') break
    go()
    t.match(await endOf(service, watched.runId!), { status: 'succeeded', response: 'one two' })
    t.equal(textAs(await read(run({ url, token, runId: watched.runId! }))), 'one two')
  })

  t.test('takes back text at a rewind', async t => {
    gateway.reply = (response, _call, number) => {
      const stream = openStream(response)
      if (number === 1) stream.write(delta('The answ'), () => response.destroy())
      else stream.end(delta('It is 42.') + ending())
    }
    const events = await read(ask(url))
    t.ok(events.some(({ type }) => type === 'rewind'))
    t.equal(textAs(events.slice(0, -1)), 'It is 42.', 'without the whole text of the end, too')
    t.equal(textAs(events), textOf(events))
  })

  t.test('waits as long as it is told where the service wants no more for now', async t => {
    let asked = 0
    const busy = async (...args: Parameters<typeof fetch>) => ++asked === 1
      ? Response.json({ error: 'Too many runs wait.', code: 'queue_full', retryAfter: 1 }, { status: 503 })
      : fetch(...args)
    gateway.reply = say('Hello')
    const startedAt = performance.now()
    t.equal(textAs(await read(ask(url, { fetch: busy }))), 'Hello')
    t.ok(performance.now() - startedAt >= 1000)
    const full = async () => Response.json({ error: 'No more runs in this hour.', code: 'plan_limit_reached', retryAfter: 3600 }, { status: 429 })
    await t.rejects(read(ask(url, { fetch: full })), { code: 'plan_limit_reached', retryAfter: 3600 }, 'but no longer than its patience lasts')
  })

  t.test('gives up once its patience is over, with the last failure', async t => {
    const proxy = await startCuttingProxy(t, url)
    proxy.target = undefined
    for (const transport of TRANSPORTS) {
      await t.rejects(read(ask(proxy.url, { transport, patience: 1 })), { code: 'connection_failed', status: 0 })
    }
    const connections = proxy.connections
    await t.rejects(read(ask(proxy.url, { signal: AbortSignal.timeout(50) })), { name: 'TimeoutError' }, 'and at once where it is aborted before a run is known')
    t.ok(proxy.connections - connections <= 2)
  })

  t.test('may not run what others may not', async t => {
    const other = await signAccessToken(JWT_SECRET, '11111111-1111-4111-8111-222222222222')
    await t.rejects(read(ask(url, { token: other, agentId: UNPUBLISHED_AGENT })), { code: 'agent_not_found', status: 404 })
    t.equal((await request('GET', '/health')).status, 200)
  })
})

t.test('the client goes on with another process when its own is deployed anew', async t => {
  if (!await findPostgres(t)) return
  const databaseUrl = await createPostgres(t)
  for (const transport of TRANSPORTS) {
    const first = await startService(t, { SUPABASE_DB_URL: databaseUrl })
    const proxy = await startCuttingProxy(t, first.url)
    first.gateway.reply = hang('The answ')
    const watched = ask(proxy.url, { transport })
    const events: NumberedEvent[] = []
    let second: Service | undefined
    for await (const event of watched) {
      events.push(event)
      if (event.type !== 'chunk' || second) continue
      second = await startService(t, { SUPABASE_DB_URL: databaseUrl })
      second.gateway.reply = say('It is 42.')
      proxy.target = second.url
      first.app.close()
    }
    t.match(events.at(-1), { type: 'done', response: 'It is 42.' })
    t.equal(textAs(events.slice(0, -1)), 'It is 42.')
    t.match(events.filter(({ type }) => type === 'started'), [{ attempt: 1 }, { attempt: 2 }])
    t.equal((await endOf(second!, watched.runId!)).creditsCharged, 1)
    await second!.app.close()
  }
})
