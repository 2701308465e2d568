import { once } from 'node:events'
import pg from 'pg'
import t, { type Test } from 'tap'
import { delta, ending, type GatewayDouble, hang, inTurn, openStream, say, startGateway } from '../support/doubles/gateway.js'
import { findRedis, type RedisServer, startRedis } from '../support/doubles/redis-server.js'
import {
  bearer, createPostgres, DEMO_AGENT, endOf, findPostgres, openEvents, OTHER_USER, parseStream, readStream, type Service,
  startService, textOf, typesOf
} from '../support/helper.js'
import { eavesdrop } from '../support/replica.js'
import { execution, login } from '../support/socket-client.js'

interface Replicas {
  /** Receives the requests, and executes no runs unless configured to. */
  web: Service
  /** Executes runs. */
  worker: Service
  gateway: GatewayDouble
  redis: RedisServer
  sql: pg.Client
  /** What other replicas need to join them. */
  shared: Record<string, string>
}

/** Two processes with one PostgreSQL, one Redis and one gateway. By default the first is a pure web tier. */
async function startReplicas (t: Test, { web = {}, worker = {} }: { web?: Record<string, string>, worker?: Record<string, string> } = {}): Promise<Replicas> {
  const [url, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
  const shared = { SUPABASE_DB_URL: url, REDIS_URL: redis.url }
  const replicas = {
    web: await startService(t, { ...shared, MAX_CONCURRENT_RUNS: '0', ...web }, gateway.url),
    worker: await startService(t, { ...shared, ...worker }, gateway.url)
  }
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  sql.on('error', () => {})
  t.teardown(() => sql.end())
  return { ...replicas, gateway, redis, sql, shared }
}

async function begin ({ request }: Service, headers?: Record<string, string>, content = 'Hi'): Promise<string> {
  const { body } = await request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content }], background: true }, headers
  })
  return body.runId
}

/** Makes the gateway answer piece by piece, at the test's command; each piece is one event. */
function answerByHand (gateway: GatewayDouble) {
  let response: Parameters<typeof openStream>[0]
  const arrived = new Promise<void>(resolve => {
    gateway.reply = answer => {
      response = openStream(answer)
      resolve()
    }
  })
  return {
    arrived,
    say: (text: string) => response.write(delta(text)),
    end: () => response.end(ending())
  }
}

/** Reads a stream piece by piece. */
function readSlowly (response: Response) {
  const reader = response.body!.getReader()
  let raw = ''
  return {
    async until (text: string): Promise<string> {
      while (!raw.includes(text)) raw += Buffer.from((await reader.read()).value!)
      return raw
    },
    async rest (): Promise<string> {
      for (let next = await reader.read(); !next.done; next = await reader.read()) raw += Buffer.from(next.value)
      return raw
    }
  }
}

t.test('several replicas with one Redis', async t => {
  if (!await findRedis(t) || !await findPostgres(t)) return

  t.test('a run begins on one replica, is executed by another, and streams from all of them with the same numbers', async t => {
    const { web, worker, gateway } = await startReplicas(t)
    const hand = answerByHand(gateway)
    const runId = await begin(web)
    await hand.arrived
    const readers = await Promise.all([web, worker, web].map(async ({ url }) => readSlowly(await openEvents(url, runId))))
    for (const word of ['One ', 'two ', 'thrée ']) {
      hand.say(word)
      await Promise.all(readers.map(reader => reader.until(`"content":"${word}"`)))
    }
    t.match((await web.request('GET', `/api/runs/${runId}`)).body, { status: 'running', response: 'One two thrée ' }, 'every replica knows the text so far')
    t.match((await web.request('GET', '/api/runs')).body.runs[0], { runId, response: 'One two thrée ' })
    hand.end()
    const [first, ...others] = await Promise.all(readers.map(reader => reader.rest()))
    for (const other of others) t.equal(other, first)
    const events = parseStream(first!)
    t.strictSame(typesOf({ events }), ['started', 'chunk', 'chunk', 'chunk', 'done'])
    t.strictSame(events.map(({ seq }) => seq), [1, 2, 3, 4, 5])
    t.match(await endOf(web, runId), { status: 'succeeded', attempt: 1, creditsCharged: 1 })
    t.equal((await readStream(await openEvents(web.url, runId, '?after=2'))).events[0]!.seq, 3)
  })

  t.test('a JSON answer and a WebSocket stream can come from another replica', async t => {
    const { web } = await startReplicas(t)
    const { body, status } = await web.request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
    })
    t.match({ status, body }, { status: 200, body: { response: 'Hello world', creditsUsed: 1 } })
    const socket = await login(t, web)
    socket.send(execution({ requestId: 'r' }))
    t.match(await socket.next('agent_execution_complete'), { response: 'Hello world', requestId: 'r' })
    t.match(socket.messages.find(({ type }) => type === 'agent_execution_started'), { requestId: 'r', seq: 1 })
  })

  t.test('a reader that knows no more than text, end and error reads a run of another replica: no letter twice, and its end in words', async t => {
    const { web, worker, gateway, redis } = await startReplicas(t)
    const heard = await eavesdrop(t, redis)
    const ask = async () => fetch(`${web.url}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...await bearer() },
      body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
    })
    gateway.reply = inTurn(response => { openStream(response).write(delta('Hel'), () => response.destroy()) }, say('Hello', ' world'))
    const { events } = await readStream(await ask())
    t.strictSame([...new Set(events.map(({ type }) => type))], ['started', 'chunk', 'done'])
    t.equal(events.map(event => event.type === 'chunk' ? event.content : '').join(''), 'Hello world')

    gateway.reply = hang('Some')
    const reader = readSlowly(await ask())
    const { runId } = JSON.parse(/^data: (.*"started".*)$/m.exec(await reader.until('"content":"Some"'))![1]!)
    t.strictSame(heard.of(runId).filter(frame => frame.includes('"drop":["')), [], 'from the wait for its first output on it is one reader')
    await worker.request('POST', `/api/runs/${runId}/cancel`)
    t.match(await reader.rest(), '"code":"run_cancelled"')
  })

  t.test('the same idempotency key on another replica joins the run and its live stream', async t => {
    const { web, worker, gateway } = await startReplicas(t)
    const hand = answerByHand(gateway)
    const headers = { 'idempotency-key': 'once' }
    const first = web.execute({}, headers)
    await hand.arrived
    const second = worker.execute({}, headers)
    hand.say('Hello')
    hand.end()
    const [a, b] = await Promise.all([first, second])
    t.equal(a.raw, b.raw)
    t.equal(a.headers.get('x-run-id'), b.headers.get('x-run-id'))
    t.equal(gateway.calls.length, 1)
    t.match(await web.credits(), { creditsRemaining: 99 })
  })

  t.test('a replica cancels a run that another one executes, at once', async t => {
    const { web, gateway } = await startReplicas(t)
    gateway.reply = hang('half')
    const arriving = gateway.nextCall()
    const runId = await begin(web)
    const call = await arriving
    await readSlowly(await openEvents(web.url, runId)).until('half')
    const startedAt = performance.now()
    t.match((await web.request('POST', `/api/runs/${runId}/cancel`)).body, { status: 'cancelled', response: 'half', creditsCharged: 1 })
    t.ok(performance.now() - startedAt < 900, 'sooner than with a heartbeat')
    await call.closed
  })

  t.test('a waiting run emits its position, and costs nothing if it is cancelled before it starts', async t => {
    const { web, gateway } = await startReplicas(t, { worker: { MAX_CONCURRENT_RUNS: '1' } })
    const hand = answerByHand(gateway)
    await begin(web)
    await hand.arrived
    const second = await begin(web)
    const reader = readSlowly(await openEvents(web.url, second))
    t.match(parseStream(await reader.until('queued')), [{ seq: 1, type: 'queued', position: 1 }])
    t.match((await web.request('POST', `/api/runs/${second}/cancel`)).body, { status: 'cancelled', creditsCharged: 0 })
    t.match(parseStream(await reader.rest()).at(-1), { type: 'cancelled' })
    const third = await begin(web)
    const waiting = readSlowly(await openEvents(web.url, third))
    await waiting.until('queued')
    gateway.reply = say('Hello')
    hand.end()
    const events = parseStream(await waiting.rest())
    t.strictSame(typesOf({ events }), ['queued', 'started', 'chunk', 'done'])
    t.strictSame(events.map(({ seq }) => seq), [1, 2, 3, 4])
    const replayed = await readStream(await openEvents(web.url, third))
    t.same(replayed.events, events)
  })

  t.test('the runs of a user are limited over all replicas', async t => {
    const limits = { MAX_RUNS_PER_USER: '2', MAX_CONCURRENT_RUNS: '5' }
    const { web, worker, gateway, sql } = await startReplicas(t, { web: limits, worker: limits })
    const answers: Array<() => void> = []
    gateway.reply = response => {
      openStream(response)
      answers.push(() => response.end(delta('x') + ending()))
    }
    const runIds = await Promise.all([web, worker, web, worker].map(service => begin(service)))
    while (answers.length < 2) await gateway.nextCall()
    const others = gateway.nextCall()
    await begin(web, await bearer(OTHER_USER))
    await others
    const { rows: [{ count }] } = await sql.query('select count(*)::int from public.agent_runs where status = \'running\' and user_id = \'11111111-1111-4111-8111-111111111111\'')
    t.equal(count, 2, 'the others wait')
    const startedAt = performance.now()
    for (let ended = 0; ended < 5; ended++) {
      while (answers.length === ended) await gateway.nextCall()
      answers[ended]!()
    }
    await Promise.all(runIds.map(runId => endOf(web, runId)))
    t.ok(performance.now() - startedAt < 4000, 'they begin as soon as a slot is free')
  })

  t.test('requests of a user are counted over all replicas', async t => {
    const { web, worker } = await startReplicas(t, { web: { RATE_LIMIT_MAX: '4' }, worker: { RATE_LIMIT_MAX: '4' } })
    const statuses = []
    for (const { request } of [web, worker, web, worker, web, worker]) statuses.push((await request('GET', '/api/runs')).status)
    t.strictSame(statuses, [200, 200, 200, 200, 429, 429])
  })

  t.test('a cached answer is shared by all replicas', async t => {
    const { web, worker, gateway, sql } = await startReplicas(t, { web: { MAX_CONCURRENT_RUNS: '5' } })
    await sql.query('update public.agents set cache_seconds = 60, temperature = 0 where id = $1', [DEMO_AGENT])
    t.equal((await web.execute()).text, 'Hello world')
    t.equal((await worker.execute()).text, 'Hello world')
    t.equal(gateway.calls.length, 1)
    t.match(await web.credits(), { creditsRemaining: 99 })
  })

  t.test('while a replica drains, its runs and their readers everywhere go on, and new runs are made by those that stay', async t => {
    const { web, worker, gateway } = await startReplicas(t, { web: { MAX_CONCURRENT_RUNS: '5', DRAIN_SECONDS: '20' }, worker: { DRAIN_SECONDS: '20' } })
    const hand = answerByHand(gateway)
    const runId = await begin(web)
    await hand.arrived
    const isHere = web.app.executor.progressOf(runId) !== undefined
    const [leaving, staying] = isHere ? [web, worker] : [worker, web]
    const readers = await Promise.all([leaving, staying].map(async ({ url }) => readSlowly(await openEvents(url, runId))))
    hand.say('before ')
    await Promise.all(readers.map(reader => reader.until('before ')))
    const drained = leaving.app.drain()
    gateway.reply = say('Hello')
    const next = await Promise.all([begin(staying), begin(staying), begin(staying)])
    for (const runId of next) {
      t.match(await endOf(staying, runId), { status: 'succeeded', attempt: 1 })
      t.equal(leaving.app.executor.progressOf(runId), undefined)
      t.equal(leaving.app.events.last(runId), undefined, 'it was not made there')
    }
    hand.say('after')
    hand.end()
    for (const reader of readers) {
      const events = parseStream(await reader.rest())
      t.equal(textOf(events), 'before after')
      // Before it there may be a position in the queue.
      t.strictSame([...new Set(typesOf({ events }))].filter(type => type !== 'queued'), ['started', 'chunk', 'done'], 'nobody was sent away')
    }
    await drained
  })

  t.test('a reader that comes between the end of a process and the takeover reads what its run had said, and a plain one no letter twice', async t => {
    const { web, worker, gateway, shared } = await startReplicas(t)
    gateway.reply = hang('half ')
    const arriving = gateway.nextCall()
    const runId = await begin(web)
    await arriving
    const near = readSlowly(await openEvents(worker.url, runId))
    await near.until('half ')
    gateway.reply = hang('half a whole')
    await worker.app.close()
    await near.rest()
    t.match((await web.request('GET', `/api/runs/${runId}`)).body, { status: 'running', response: 'half ' })
    const late = readSlowly(await openEvents(web.url, runId, '?events='))
    await late.until('half ')
    const successor = await startService(t, shared, gateway.url)
    t.equal(parseStream(await late.until('a whole')).map(event => event.type === 'chunk' ? event.content : '').join(''), 'half a whole')
    await successor.request('POST', `/api/runs/${runId}/cancel`)
    await late.rest()
  })

  t.test('a run of a replica that shuts down continues at another one within two seconds', async t => {
    const { web, worker, gateway } = await startReplicas(t, { web: { MAX_CONCURRENT_RUNS: '5' } })
    gateway.reply = hang('half')
    const arriving = gateway.nextCall()
    const runId = await begin(web)
    await arriving
    // Either replica may execute the run; the other one must continue it.
    const isHere = web.app.executor.progressOf(runId) !== undefined
    const [maker, other] = isHere ? [web, worker] : [worker, web]
    const reader = readSlowly(await openEvents(other.url, runId))
    await reader.until('half')
    gateway.reply = say('the whole')
    const next = gateway.nextCall()
    const startedAt = performance.now()
    await maker.app.close()
    await next
    t.ok(performance.now() - startedAt < 2000, `${Math.round(performance.now() - startedAt)} ms`)
    const events = parseStream(await reader.rest())
    t.equal(textOf(events), 'the whole', 'for a reader that was connected all the time')
    // Before it there may be a position in the queue.
    const second = events.findIndex(event => event.type === 'started' && event.attempt === 2)
    t.match(events.slice(second), [{ type: 'started', attempt: 2 }, { type: 'rewind', to: 0 }, { type: 'chunk' }, { type: 'done' }])
    t.match(await endOf(other, runId), { attempt: 2, creditsCharged: 1 })
  })
})

t.test('failures of Redis', async t => {
  if (!await findRedis(t) || !await findPostgres(t)) return

  t.test('waiting runs are queued again after Redis has lost them', async t => {
    const { web, worker, gateway, redis } = await startReplicas(t, { worker: { MAX_CONCURRENT_RUNS: '1' } })
    const hand = answerByHand(gateway)
    const first = await begin(web)
    await hand.arrived
    const waiting = await Promise.all([begin(web), begin(web)])
    const reader = openEvents(web.url, first).then(readStream)
    hand.say('before ')
    await readSlowly(await openEvents(web.url, first)).until('before ')
    await redis.client.flushall()
    hand.say('after')
    hand.end()
    t.equal((await reader).text, 'before after')
    gateway.reply = say('Hello')
    for (const runId of waiting) t.match(await endOf(worker, runId), { status: 'succeeded', attempt: 2 })
    t.match(await web.credits(), { creditsRemaining: 97, creditsReserved: 0 })
  })

  t.test('while Redis is away each replica executes its own runs, and readers at others get the end', async t => {
    const { web, worker, gateway, redis } = await startReplicas(t, { web: { MAX_CONCURRENT_RUNS: '5' } })
    await redis.stop()
    await Promise.all([web, worker].map(untilRedisIs('down')))
    t.match((await web.request('GET', '/ready')).body, { status: 'ready', redis: 'down' })
    const hand = answerByHand(gateway)
    const runId = await begin(web)
    await hand.arrived
    const here = readSlowly(await openEvents(web.url, runId))
    const there = openEvents(worker.url, runId).then(readStream)
    hand.say('Hello')
    await here.until('Hello')
    hand.end()
    const events = parseStream(await here.rest())
    t.same((await there).events, events)
    await redis.start()
    await Promise.all([web, worker].map(untilRedisIs('up')))
    gateway.reply = say('Hello')
    t.equal((await worker.execute()).text, 'Hello')
    t.match(web.logs.filter(line => line.includes('Redis')).map(line => JSON.parse(line).message), [
      'Redis is connected', /^Redis is unavailable: .+; until it is back, each process executes its own runs$/, 'Redis is connected'
    ])
  })

  t.test('while Redis is away workers execute the runs that a pure web tier begins', async t => {
    const { web, worker, redis } = await startReplicas(t)
    await redis.stop()
    await Promise.all([web, worker].map(untilRedisIs('down')))
    const runId = await begin(web)
    t.match(await endOf(web, runId), { status: 'succeeded', creditsCharged: 1 })
    t.equal((await readStream(await openEvents(web.url, runId))).text, 'Hello world')
  })

  t.test('a process ends in time while Redis is away', async t => {
    const { worker, redis } = await startReplicas(t)
    await redis.stop()
    const startedAt = performance.now()
    await worker.app.close()
    t.ok(performance.now() - startedAt < 5000, `${Math.round(performance.now() - startedAt)} ms`)
  })
})

function untilRedisIs (state: 'up' | 'down') {
  return async ({ app }: Service): Promise<void> => {
    while (app.redis!.link.isUp !== (state === 'up')) await once(app.redis!.link, state)
  }
}
