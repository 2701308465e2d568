import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Progress, runAgent } from '../src/executor/agent.js'
import { Gateway } from '../src/executor/gateway.js'
import type { RunEvent } from '../src/schemas.js'
import { delta, ending, frame, inTurn, openStream, refuse, say, startGateway, USAGE, type Reply } from './doubles/gateway.js'
import { textOf } from './helper.js'

const AT_ONCE = { 'retry-after': '0' }

/** Runs an agent against these answers, and keeps what it tells. */
async function setUp (t: Test, ...replies: Reply[]) {
  const double = await startGateway(t, inTurn(...replies))
  const gateway = new Gateway({ url: double.url, model: 'default/model', modelIsChosen: true })
  t.teardown(() => gateway.close())
  const progress = new Progress()
  const stop = new AbortController()
  const events: Array<RunEvent & { seq: number }> = [{ seq: 1, type: 'started', runId: 'a-run', agentId: 'an-agent', attempt: 1 }]
  const pauses: number[] = []
  const world = {
    double,
    progress,
    stop,
    events,
    pauses,
    /** Called with each event. */
    onEvent: () => {},
    /** Called before each pause. */
    onRetry: () => {},
    /** What the run threw, if it did. */
    run: (agent = {}, fallbackModels: string[] = []): Promise<any> => runAgent({ agent, messages: [{ role: 'user', content: 'Hi' }] }, progress, {
      gateway,
      defaultModel: 'default/model',
      fallbackModels,
      signal: stop.signal,
      wait: (ms, signal) => delay(ms, undefined, { signal }),
      emit (event) {
        const seq = events.push({ seq: events.length + 1, ...event })
        world.onEvent()
        return seq
      },
      log (message, fields) {
        if (message !== 'retried') return
        pauses.push(fields.delayMs as number)
        world.onRetry()
      }
    }).then(() => undefined, error => error)
  }
  return world
}

/** Says these pieces and ends before its time. */
function breakAfter (...pieces: string[]): Reply {
  return response => { openStream(response).end(pieces.map(delta).join('')) }
}

const hangUp: Reply = (response: ServerResponse) => { response.socket!.destroy() }

t.test('an agent\'s settings go to the gateway, and its answer into the progress', async t => {
  const { double, run, progress, events } = await setUp(t, say('Hello'))
  t.equal(await run({ model: 'a/model', temperature: 0, maxTokens: 5, systemPrompt: 'Be brief.' }), undefined)
  t.match(double.calls[0]!.body, { model: 'a/model', temperature: 0, max_tokens: 5 })
  t.strictSame(double.calls[0]!.body.messages, [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hi' }])
  t.strictSame({ ...progress }, {
    response: 'Hello',
    model: 'test/model',
    finishReason: 'stop',
    usage: { promptTokens: USAGE.prompt_tokens, completionTokens: USAGE.completion_tokens, totalTokens: USAGE.total_tokens, estimated: false },
    output: true
  })
  t.strictSame(events.slice(1), [{ seq: 2, type: 'chunk', content: 'Hello' }])
  await run()
  t.match(double.calls[1]!.body, { model: 'default/model', temperature: 0.7, max_tokens: 1000 }, 'and the defaults for what it lacks')
})

t.test('before the first token, retries say so and take nothing back', async t => {
  const { double, run, progress, events, pauses } = await setUp(t, refuse(429, 'slow down', AT_ONCE), hangUp, say('Hello'))
  t.equal(await run(), undefined)
  t.equal(double.calls.length, 3)
  t.strictSame(events.slice(1), [
    { seq: 2, type: 'retry', code: 'gateway_rate_limited', delayMs: pauses[0] },
    { seq: 3, type: 'retry', code: 'gateway_unavailable', delayMs: pauses[1] },
    { seq: 4, type: 'chunk', content: 'Hello' }
  ])
  t.match(progress, { response: 'Hello', usage: { totalTokens: USAGE.total_tokens, estimated: false } }, 'tries that said nothing used nothing')
  t.ok(pauses[0]! >= 250 && pauses[0]! <= 500 && pauses[1]! >= 500 && pauses[1]! <= 1000, `pauses of ${pauses} ms`)
})

t.test('after the first token, a retry takes back what was said and says it anew', async t => {
  const { run, progress, events, pauses } = await setUp(t, breakAfter('Hel'), say('Hello'))
  t.equal(await run(), undefined)
  t.strictSame(events.slice(1), [
    { seq: 2, type: 'chunk', content: 'Hel' },
    { seq: 3, type: 'rewind', to: 1 },
    { seq: 4, type: 'retry', code: 'gateway_unavailable', delayMs: pauses[0] },
    { seq: 5, type: 'chunk', content: 'Hello' }
  ])
  t.equal(progress.response, 'Hello')
  t.equal(textOf(events), 'Hello')
})

t.test('a rewind goes back before the first of several events, reasoning among them', async t => {
  const { run, progress, events } = await setUp(t, response => {
    openStream(response).write(frame({ choices: [{ index: 0, delta: { reasoning: 'Hm' } }] }))
    setImmediate(() => response.end(delta('Hel')))
  }, say('Hello'))
  t.equal(await run(), undefined)
  t.match(events.slice(1), [{ type: 'reasoning', content: 'Hm' }, { type: 'chunk' }, { type: 'rewind', to: 1 }, { type: 'retry' }, { type: 'chunk' }])
  t.equal(progress.response, 'Hello')
})

t.test('each retry takes back its own try', async t => {
  const { run, events } = await setUp(t, breakAfter('Hel'), refuse(503, 'busy', AT_ONCE), breakAfter('Hell'), say('Hello'))
  t.equal(await run(), undefined)
  t.strictSame(events.slice(1).map(event => 'to' in event ? event.to : event.type), ['chunk', 1, 'retry', 'retry', 'chunk', 5, 'retry', 'chunk'])
  t.equal(textOf(events), 'Hello')
})

t.test('usage adds up over tries, and is estimated where one of them was cut', async t => {
  const { run, progress } = await setUp(t, breakAfter('12345678'), say('Hello'))
  t.equal(await run({ systemPrompt: 'x'.repeat(40) }), undefined)
  // 40 characters and 2 of the prompt, 8 of the answer, at 4 to a token, beside what the gateway reported of the second try.
  const [promptTokens, completionTokens] = [10 + 1 + USAGE.prompt_tokens, 2 + USAGE.completion_tokens]
  t.strictSame(progress.usage, { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, estimated: true })
})

t.test('after four tries the last one\'s error is the run\'s, and its text stays', async t => {
  t.intercept(Math, 'random', { value: () => 0 })
  const { double, run, progress, events, pauses } = await setUp(t, hangUp, breakAfter('Hel'), hangUp, breakAfter('Hell'))
  t.match(await run(), { code: 'gateway_unavailable' })
  t.equal(double.calls.length, 4)
  t.strictSame(pauses, [250, 500, 1000], 'each pause is twice the one before')
  t.strictSame(events.slice(1).map(({ type }) => type), ['retry', 'chunk', 'rewind', 'retry', 'retry', 'chunk'])
  t.match(progress, { response: 'Hell', output: true, finishReason: null })
  t.equal(textOf(events), 'Hell')
})

t.test('what a second try cannot mend is not tried again', async t => {
  for (const [status, code] of [[402, 'gateway_payment_required'], [401, 'gateway_unauthorized'], [400, 'gateway_rejected']] as const) {
    const { double, run, events, progress } = await setUp(t, refuse(status), say('Hello'))
    t.match(await run(), { code })
    t.equal(double.calls.length, 1)
    t.equal(events.length, 1, 'nothing is told')
    t.match(progress, { response: '', output: false, usage: { totalTokens: 0 } })
  }
  const { double, run, events } = await setUp(t, response => {
    openStream(response).end(delta('Hel') + frame({ error: { message: 'empty', code: 402 } }) + ending())
  })
  t.match(await run(), { code: 'gateway_payment_required' }, 'within a stream neither')
  t.equal(double.calls.length, 1)
  t.equal(textOf(events), 'Hel')
})

t.test('a model that keeps failing is followed by the next fallback model, and the events say so', async t => {
  const { double, run, events, progress } = await setUp(t, breakAfter('Hel'), refuse(400), refuse(404), say('Hello'))
  t.equal(await run({ model: 'a/model' }, ['b/model', 'c/model']), undefined)
  t.strictSame(double.calls.map(({ body }) => body.model), ['a/model', 'a/model', 'b/model', 'c/model'])
  t.match(events.slice(1), [
    { type: 'chunk', content: 'Hel' },
    { type: 'rewind', to: 1 },
    { type: 'retry', code: 'gateway_unavailable' },
    { type: 'retry', code: 'gateway_rejected', model: 'b/model', delayMs: 0 },
    { type: 'retry', code: 'gateway_rejected', model: 'c/model', delayMs: 0 },
    { type: 'chunk', content: 'Hello' }
  ])
  t.equal(progress.response, 'Hello')
})

t.test('an empty account and a refused key are not asked with another model', async t => {
  for (const status of [401, 402]) {
    const { double, run } = await setUp(t, refuse(status), say('Hello'))
    t.match(await run({}, ['b/model']), { code: status === 401 ? 'gateway_unauthorized' : 'gateway_payment_required' })
    t.equal(double.calls.length, 1)
  }
})

t.test('a gateway that asks for a pause gets it, unless it is longer than 20 s', async t => {
  const patient = await setUp(t, refuse(429, 'slow down', { 'retry-after': '20' }))
  patient.onRetry = () => patient.stop.abort()
  t.match(await patient.run(), { name: 'AbortError' })
  t.strictSame(patient.pauses, [20_000])

  const hasty = await setUp(t, refuse(429, 'slow down', { 'retry-after': '21' }))
  t.match(await hasty.run(), { code: 'gateway_rate_limited', retryAfter: 21 })
  t.strictSame(hasty.pauses, [])
  t.equal(hasty.double.calls.length, 1)
})

t.test('aborting ends a pause at once, with what was said already taken back', async t => {
  const world = await setUp(t, breakAfter('Hel'), refuse(503, 'busy', { 'retry-after': '19' }))
  const startedAt = performance.now()
  world.onRetry = () => { if (world.pauses.length === 2) setImmediate(() => world.stop.abort()) }
  t.match(await world.run(), { name: 'AbortError' })
  t.ok(performance.now() - startedAt < 10_000, 'long before the pause was over')
  t.equal(world.double.calls.length, 2)
  t.strictSame(world.events.slice(1).map(({ type }) => type), ['chunk', 'rewind', 'retry', 'retry'])
  t.match(world.progress, { output: true, usage: { estimated: true } }, 'what it cost is kept')
  t.equal(world.progress.response, '')
})

t.test('aborting while the model speaks throws the signal\'s reason, and keeps text and usage', async t => {
  const world = await setUp(t, response => { openStream(response).write(delta('Hell')) })
  const reason = new Error('enough')
  world.onEvent = () => world.stop.abort(reason)
  t.equal(await world.run(), reason)
  t.match(world.progress, { response: 'Hell', output: true, finishReason: null, usage: { completionTokens: 1, estimated: true } })
  t.strictSame(world.pauses, [])
})
