import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { MARK } from '#shared/reader/plain-text.ts'
import { delta, ending, hang, inTurn, openStream, refuse, type Reply, say } from '../../support/doubles/gateway.js'
import {
  ALL_EVENTS, BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_USER, endOf, openEvents, parseStream, PLAIN, readStream, type Service, startService, typesOf
} from '../../support/helper.js'
import { LOOK_MS } from '../../support/until.js'

const REQUEST = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }

/** Executes as somebody who says nothing about events, as live callers do. */
async function ask ({ url }: Service, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/api/agent/execute`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...await bearer(), ...headers }, body: JSON.stringify(REQUEST), signal
  })
}

/** The text of a reader that appends. */
function appended (events: ReturnType<typeof parseStream>): string {
  return events.map(event => event.type === 'chunk' ? event.content : '').join('')
}

/** Says these pieces, and breaks off after they were read. */
function breakOff (...pieces: string[]): Reply {
  return (response, call, number) => {
    hang(...pieces)(response, call, number)
    setTimeout(() => response.destroy(), 50)
  }
}

/** Begins a run that says a text and hangs. Returns its id, and how to say the rest. */
async function beginHanging (service: Service, text: string): Promise<{ runId: string, finish: (rest: string) => void }> {
  let finish = (_rest: string) => {}
  service.gateway.reply = response => {
    openStream(response).write(delta(text))
    finish = rest => response.end(delta(rest) + ending())
  }
  const { body } = await service.request('POST', '/api/agent/execute', { body: { ...REQUEST, background: true } })
  const { reader } = await readUntil(await openEvents(service.url, body.runId), text)
  await reader.cancel()
  return { runId: body.runId, finish: rest => finish(rest) }
}

async function readUntil (response: Response, text: string) {
  const reader = response.body!.getReader()
  let seen = ''
  while (!seen.includes(text)) {
    const { value, done } = await reader.read()
    if (done) throw new Error(`ended without "${text}": ${seen}`)
    seen += Buffer.from(value)
  }
  const rest = async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) seen += Buffer.from(next.value)
    return seen
  }
  return { seen, reader, rest }
}

t.test('a reader that says nothing about events', async t => {
  const service = await startService(t)
  const { gateway, url } = service

  t.test('is told no letter twice when a try broke off, and ids to resume from', async t => {
    gateway.reply = inTurn(breakOff('Hel'), say('Hello', ' world'))
    gateway.calls.length = 0
    const told = await readStream(await ask(service))
    t.equal(appended(told.events), 'Hello world')
    t.strictSame([...new Set(typesOf(told))], ['started', 'chunk', 'done'])
    const runId = told.headers.get('x-run-id')!
    for (const [index, { seq }] of told.events.entries()) {
      const rest = await readStream(await openEvents(url, runId, `?after=${seq}`, PLAIN))
      t.equal(appended(told.events.slice(0, index + 1)) + appended(rest.events), 'Hello world', `after ${seq}`)
    }
    const all = await readStream(await openEvents(url, runId))
    t.ok(typesOf(all).includes('rewind'), 'who reads events is told all')
    t.equal(all.text, 'Hello world')
  })

  t.test('has a mark where the second try goes another way, and the whole text in done', async t => {
    gateway.reply = inTurn(breakOff('Yes, '), say('No, ', 'never'))
    gateway.calls.length = 0
    const told = await readStream(await ask(service))
    t.equal(appended(told.events), `Yes, ${MARK}No, never`)
    t.match(told.events.at(-1), { type: 'done', response: 'No, never' })
  })

  t.test('is answered with a status where the run fails before its first word, and it may be told why', async t => {
    const before = await service.credits()
    for (const [reply, status, code] of [[refuse(402), 503, 'gateway_payment_required'], [refuse(400, 'no'), 422, 'gateway_rejected']] as const) {
      gateway.reply = reply
      for (const path of ['execute', 'execute-validated']) {
        const isOfUser = path === 'execute'
        const { status: told, body, headers } = await service.request('POST', `/api/agent/${path}`, {
          body: isOfUser ? REQUEST : { ...REQUEST, userId: DEMO_USER, agentConfig: {} },
          headers: isOfUser ? {} : { 'x-railway-secret': BACKEND_SECRET }
        })
        t.equal(told, status, path)
        t.match(body, { code, error: String, statusCode: status, runId: headers.get('x-run-id') })
      }
    }
    t.same(await service.credits(), before)
    gateway.reply = refuse(402)
    const known = await readStream(await ask(service, ALL_EVENTS))
    t.equal(known.status, 200)
    t.strictSame(typesOf(known), ['started', 'error'], 'who names events has the error as an event')
    t.equal((await readStream(await ask(service, { 'x-stream-events': 'tools' }))).status, 200)
  })

  t.test('gets its error as an event after the first word', async t => {
    gateway.reply = inTurn(breakOff('half'), refuse(402))
    gateway.calls.length = 0
    const told = await readStream(await ask(service))
    t.equal(told.status, 200)
    t.match(told.events.at(-1), { type: 'error', code: 'gateway_payment_required' })
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
  })

  t.test('that joins by an Idempotency-Key waits for the same first word', async t => {
    let fail = () => {}
    gateway.reply = response => { fail = () => { response.writeHead(402).end('{}') } }
    const arriving = gateway.nextCall()
    const key = { 'idempotency-key': 'together' }
    const answers = [ask(service, key), ask(service, key)]
    await arriving
    fail()
    for (const answer of answers) t.match(await (await answer).json(), { code: 'gateway_payment_required', statusCode: 503 })
    t.match(await (await ask(service, key)).json(), { code: 'gateway_payment_required' }, 'also after the end')
  })

  t.test('may leave while it waits, and the run goes on', async t => {
    let finish = () => {}
    gateway.reply = response => { finish = () => say('Hello')(response, undefined as never, 1) }
    const arriving = gateway.nextCall()
    const leaving = new AbortController()
    const asking = ask(service, { 'idempotency-key': 'left alone' }, leaving.signal)
    await arriving
    leaving.abort()
    await t.rejects(asking)
    finish()
    const { headers, body } = await service.request('POST', '/api/agent/execute', { body: { ...REQUEST, stream: false }, headers: { 'idempotency-key': 'left alone' } })
    t.match(body, { response: 'Hello' })
    t.match(await endOf(service, headers.get('x-run-id')!), { status: 'succeeded', creditsCharged: 1 })
  })

  t.test('is told that it was cancelled by an error, and who knows better by the event', async t => {
    const { runId } = await beginHanging(service, 'half')
    const reading = [PLAIN, ALL_EVENTS].map(async headers => readStream(await openEvents(url, runId, '', headers)))
    await service.request('POST', `/api/runs/${runId}/cancel`)
    const [plain, all] = await Promise.all(reading)
    t.match(plain!.events.at(-1), { type: 'error', code: 'run_cancelled', runId, retryable: false })
    t.match(all!.events.at(-1), { type: 'cancelled', runId })
    t.ok(plain!.raw.endsWith('data: [DONE]\n\n'))
  })

  t.test('says what it knows in the header or in the query, and a name that is none is refused before anything begins', async t => {
    const calls = gateway.calls.length
    for (const path of ['execute', 'execute?events=nonsense']) {
      const { status, body } = await service.request('POST', `/api/agent/${path}`, { body: REQUEST, headers: path === 'execute' ? { 'x-stream-events': 'rewind,nonsense' } : {} })
      t.equal(status, 400)
      t.match(body, { code: 'bad_request', error: /"nonsense" is no kind of event/ })
    }
    t.equal(gateway.calls.length, calls)
    const { runId, finish } = await beginHanging(service, 'half')
    finish(' whole')
    await endOf(service, runId)
    t.match(await service.request('GET', `/api/runs/${runId}/events?events=all`), { status: 400 })
    t.equal((await openEvents(url, runId, '?events=')).status, 200)
  })
})

t.test('the head of a plain reader waits no longer than it may', async t => {
  const service = await startService(t, { FIRST_OUTPUT_SECONDS: '0.2' })
  let finish = () => {}
  service.gateway.reply = response => { finish = () => say('Hello')(response, undefined as never, 1) }
  const arriving = service.gateway.nextCall()
  const response = await ask(service)
  await arriving
  t.equal(response.status, 200)
  t.ok(response.headers.get('x-run-id'))
  const { rest } = await readUntil(response, '"started"')
  finish()
  t.equal(appended(parseStream(await rest())), 'Hello')
})

t.test('who names events has head, run and started at once', async t => {
  const service = await startService(t)
  service.gateway.reply = hang()
  const response = await ask(service, { 'x-stream-events': 'reconnect' })
  t.ok(response.headers.get('x-run-id'))
  const { reader } = await readUntil(response, '"started"')
  await reader.cancel()
})

t.test('a connection that ends before its run', async t => {
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })

  t.test('says so in a sentence to who knows no reconnect, and never looks whole', async t => {
    const { runId, finish } = await beginHanging(service, 'half')
    const plain = await readStream(await openEvents(service.url, runId, '', PLAIN))
    t.equal(appended(plain.events), 'half')
    t.match(plain.events.at(-1), { type: 'error', code: 'connection_ended', error: /before the answer was complete/, runId, retryable: true })
    t.notOk(plain.raw.includes('[DONE]'))
    t.ok(Number.isNaN(plain.events.at(-1)!.seq), 'it has no number')
    const all = await readStream(await openEvents(service.url, runId))
    t.match(all.events.at(-1), { type: 'reconnect', after: 2 })
    finish(' whole')
    await endOf(service, runId)
  })
})

t.test('a server that ends', async t => {
  t.test('tells plain readers by an error, and others to reconnect', async t => {
    const service = await startService(t)
    service.gateway.reply = hang('half')
    const [plain, all] = await Promise.all([ask(service).then(response => readUntil(response, 'half')), ask(service, ALL_EVENTS).then(response => readUntil(response, 'half'))])
    await service.app.close()
    t.match(parseStream(await plain!.rest()).at(-1), { type: 'error', code: 'connection_ended' })
    t.match(parseStream(await all!.rest()).at(-1), { type: 'reconnect' })
  })

  t.test('answers heads that still wait with 503', async t => {
    const service = await startService(t)
    service.gateway.reply = hang()
    const arriving = service.gateway.nextCall()
    const asking = ask(service)
    await arriving
    const [response] = await Promise.all([asking, service.app.close()])
    t.equal(response.status, 503)
    t.match(await response.json(), { code: 'shutting_down', runId: String })
    t.equal(response.headers.get('retry-after'), '5')
  })
})

t.test('a run that another process takes over', async t => {
  t.test('is told on to a plain reader that stays, and not a letter of it twice', async t => {
    const service = await startService(t)
    const { app } = service
    for (const [second, expected] of [['Hello', 'Hello'], ['Goodbye', `Hel${MARK}Goodbye`]] as const) {
      const { runId } = await beginHanging(service, 'Hel')
      const { rest } = await readUntil(await openEvents(service.url, runId, '', PLAIN), 'Hel')
      await lose(t, service, runId)
      const events = [
        { type: 'started', runId, agentId: DEMO_AGENT, attempt: 2 }, { type: 'rewind', to: 0 }, { type: 'chunk', content: second },
        { type: 'error', error: 'It is over.', code: 'internal_error', runId, retryable: false }
      ] as const
      app.events.ingest(runId, 1_000_000_001, events)
      const told = parseStream(await rest())
      t.equal(appended(told), expected)
      t.match(told.at(-1), { type: 'error', error: 'It is over.' }, 'its connection was not ended for that')
    }
  })
})

/** This process loses the lease of a run that it executes. */
async function lose (t: Test, { app }: Service, runId: string): Promise<void> {
  app.executor.abandon(runId)
  while (app.executor.progressOf(runId)) await delay(LOOK_MS)
  t.notOk(app.events.last(runId), 'the log has evicted it')
}
