import type { ServerResponse } from 'node:http'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { CompletionHandler } from '../../../../src/executor/gateway/completion.js'
import { ReadWindow, type PausableSource } from '../../../../src/executor/gateway/http/read-window.js'
import { LoopLoad } from '../../../../src/executor/gateway/loop-load.js'
import { delta, ending, frame, openStream, startGateway } from '../../../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, parseStream, startService } from '../../../support/helper.js'

const WINDOW = 80
/** Where a machine that is held up for a moment must not look like one that waits. */
const LONG_WINDOW = 600
const BUSY = { isHigh: () => true }
/** Longer than what a load is looked at for. */
const LOOKED_AT = 600
/** Longer than any test. */
const FOR_EVER = 600_000

class Fake implements PausableSource {
  windowEnd = 0
  isPaused = false
  at = 0
  readonly #waits: Array<() => void> = []

  constructor (private readonly onResume: (fake: Fake) => void = () => {}) {}

  pause (): void {
    this.isPaused = true
  }

  resume (): void {
    this.isPaused = false
    this.at = performance.now()
    this.onResume(this)
    for (const wake of this.#waits.splice(0)) wake()
  }

  resumed (): Promise<void> {
    return new Promise(resolve => { this.#waits.push(resolve) })
  }
}

t.test('what comes after a pause is read on at once; what is told soon after is the last for a window', async t => {
  const window = new ReadWindow(WINDOW, BUSY)
  const source = new Fake()
  window.onEmit(source)
  t.notOk(source.isPaused)
  const since = performance.now()
  window.onEmit(source)
  t.ok(source.isPaused)
  await source.resumed()
  t.ok(source.at - since >= WINDOW * 23 / 24 - 1, `after ${source.at - since} ms`)
  source.windowEnd = performance.now() - 1
  window.onEmit(source)
  t.notOk(source.isPaused)
})

t.test('what waited while nothing was read follows closely; what comes some time after that does not', async t => {
  const window = new ReadWindow(WINDOW, BUSY)
  const source = new Fake(() => { window.onEmit(source) })
  for (let told = 0; told < 2; told++) window.onEmit(source)
  await source.resumed()
  t.ok(source.isPaused, 'told as soon as it was read on')
  await source.resumed()
  t.ok(source.windowEnd - source.at >= WINDOW * 23 / 24)
  window.close()
  const next = new ReadWindow(WINDOW, BUSY)
  const other = new Fake()
  for (let told = 0; told < 2; told++) next.onEmit(other)
  t.ok(other.windowEnd > performance.now())
  await other.resumed()
  t.ok(other.windowEnd - other.at <= WINDOW / 4, 'a quarter of a window')
})

t.test('many wait by one timer, are read a few in a turn, in their order, and none is forgotten', async t => {
  const window = new ReadWindow(WINDOW, BUSY)
  const order: Fake[] = []
  let thisTurn = 0
  let most = 0
  const all = Array.from({ length: 300 }, () => new Fake(fake => {
    if (thisTurn++ === 0) queueMicrotask(() => { thisTurn = 0 })
    most = Math.max(most, thisTurn)
    order.push(fake)
  }))
  const timers = countTimers()
  for (const [index, one] of all.entries()) {
    for (let told = 0; told < 2; told++) window.onEmit(one)
    t.ok(one.isPaused)
    if (index < 99) t.equal(countTimers(), timers + 1)
    // While those before are being read.
    if (index % 100 === 99) await all[index - 99]!.resumed()
  }
  const last = all.at(-1)!
  if (last.isPaused) await last.resumed()
  t.strictSame(order.map(one => all.indexOf(one)), all.map((_one, index) => index))
  t.equal(most, 16)
  t.equal(countTimers(), timers)
})

t.test('one that began to wait later is read later, though nothing more comes', async t => {
  const window = new ReadWindow(LONG_WINDOW, BUSY)
  const [first, second] = [new Fake(), new Fake()]
  for (let told = 0; told < 2; told++) window.onEmit(first)
  await delay(LONG_WINDOW / 2)
  for (let told = 0; told < 2; told++) window.onEmit(second)
  await first.resumed()
  t.ok(second.isPaused)
  await second.resumed()
  t.ok(second.at - first.at >= LONG_WINDOW / 4, `${second.at - first.at} ms after the first`)
})

/** One that is due at a time that stands, however long it takes to ask. */
class Due implements PausableSource {
  isPaused = false

  constructor (private readonly due: number) {}

  get windowEnd (): number { return this.due }
  set windowEnd (_end: number) {}
  pause (): void { this.isPaused = true }
  resume (): void { this.isPaused = false }
}

t.test('what is due a sixteenth of a window later is no part of the same lot, so that answers which end apart are not told together', async t => {
  const window = new ReadWindow(FOR_EVER, BUSY)
  const now = performance.now()
  const [first, next] = [new Due(now + FOR_EVER / 32), new Due(now + FOR_EVER / 16)]
  window.onEmit(first)
  window.onEmit(next)
  for (let turns = 0; first.isPaused && turns < 10; turns++) await turn()
  t.notOk(first.isPaused)
  t.ok(next.isPaused)
  window.close()
})

t.test('one that is closed keeps no timer, and reads nothing', async t => {
  const timers = countTimers()
  const window = new ReadWindow(FOR_EVER, BUSY)
  const source = new Fake()
  for (let told = 0; told < 2; told++) window.onEmit(source)
  t.equal(countTimers(), timers + 1)
  window.close()
  t.equal(countTimers(), timers)
  const soon = new ReadWindow(WINDOW, BUSY)
  const many = Array.from({ length: 17 }, () => new Fake())
  for (const one of many) for (let told = 0; told < 2; told++) soon.onEmit(one)
  await many[15]!.resumed()
  soon.close()
  await delay(WINDOW)
  t.ok(many[16]!.isPaused, 'nor what was to be read in the next turn')
})

t.test('while the process is not busy everything is read at once, and what waited before is read in its time', async t => {
  let isBusy = true
  const window = new ReadWindow(WINDOW, { isHigh: () => isBusy })
  const source = new Fake()
  for (let told = 0; told < 2; told++) window.onEmit(source)
  isBusy = false
  const other = new Fake()
  for (let told = 0; told < 5; told++) window.onEmit(other)
  t.notOk(other.isPaused)
  t.ok(source.isPaused)
  await source.resumed()
  t.notOk(source.isPaused)
})

t.test('a process is busy from half of its time on, and until it is so for less than a quarter', async t => {
  let now = 0
  let active = 0
  const load = new LoopLoad((one, other) => {
    const [spent, passed] = other ? [one!.active - other.active, one!.active + one!.idle - other.active - other.idle] : [active, now]
    return { active: spent, idle: passed - spent, utilization: spent / passed }
  }, now)
  const at = (share: number, ms = LOOKED_AT) => {
    now += ms
    active += ms * share
    return load.isHigh(now)
  }
  t.equal(load.isHigh(now), false)
  t.equal(at(1, 400), false, 'one long turn of the event loop is no load')
  t.equal(at(0, 200), true, 'but what was worked in it counts')
  t.equal(at(0.1), false)
  t.equal(at(0.35), false)
  t.equal(at(0.8), true)
  t.equal(at(0.35), true)
  t.equal(at(0.1), false)
})

t.test('by the measure of Node.js, too', async t => {
  const load = new LoopLoad()
  await work(0, LOOKED_AT)
  t.equal(load.isHigh(performance.now()), false)
  await work(1, LOOKED_AT)
  t.equal(load.isHigh(performance.now()), true)
})

t.test('what one turn of the event loop brings of an answer is told together, and before its end, its break or its cancellation', async t => {
  const told = (end: (handler: CompletionHandler, stop: AbortController) => void) => {
    const said: string[] = []
    const stop = new AbortController()
    const sink = { text: (text: string) => { said.push(text) }, reasoning: (text: string) => { said.push(`(${text})`) } }
    const settle = (how: string) => () => { said.push(how) }
    const handler = new CompletionHandler('a/model', sink, stop.signal, 1000, settle('done'), settle('failed'))
    handler.onHead({ status: 200, headers: { 'content-type': 'text/event-stream' } })
    t.equal(handler.onReadsDone(), false, 'there is nothing to tell')
    for (const word of ['Hel', 'lo']) read(handler, delta(word))
    t.strictSame(said, [])
    t.equal(handler.onReadsDone(), true)
    for (const word of [' wor', 'ld']) read(handler, delta(word))
    read(handler, frame({ choices: [{ delta: { reasoning: 'Hm' } }] }))
    read(handler, delta('!'))
    t.strictSame(said, ['Hello', ' world'], 'only a thought after it told it before its time')
    end(handler, stop)
    t.equal(handler.onReadsDone(), false)
    return said.slice(2)
  }
  t.strictSame(told(handler => { handler.onError(new Error('broken')) }), ['(Hm)', '!', 'failed'])
  t.strictSame(told((_handler, stop) => { stop.abort() }), ['(Hm)', '!', 'failed'])
  t.strictSame(told(handler => {
    read(handler, ending())
    handler.onEnd()
  }), ['(Hm)', '!', 'done'])
})

t.test('an answer whose last text cannot be told is cancelled all the same', async t => {
  const stop = new AbortController()
  let failure: unknown
  const handler = new CompletionHandler('a/model', { text () { throw new Error('no room') }, reasoning () {} }, stop.signal, 1000, () => {}, error => { failure = error })
  let givenUp = 0
  handler.attach({ abort: () => { givenUp++ } })
  handler.onHead({ status: 200, headers: {} })
  read(handler, delta('Hello'))
  stop.abort(new Error('stop'))
  t.equal(failure, stop.signal.reason)
  t.equal(givenUp, 1)
})

t.test('an answer that breaks while nothing of it can be told ends in its failure, and in no other error', async t => {
  let failure: any
  const handler = new CompletionHandler('a/model', { text () { throw new Error('no room') }, reasoning () {} }, new AbortController().signal, 1000, () => {}, error => { failure = error })
  handler.attach({ abort () {} })
  handler.onHead({ status: 200, headers: {} })
  read(handler, delta('Hello'))
  handler.onError(new Error('broken'))
  t.equal(failure.code, 'gateway_unavailable')
})

t.test('a long text waits for nothing', async t => {
  const said: number[] = []
  const handler = new CompletionHandler('a/model', { text: text => { said.push(text.length) }, reasoning () {} }, new AbortController().signal, 1e6, () => {}, () => {})
  handler.onHead({ status: 200, headers: {} })
  for (const length of [10_000, 10_000, 3, 16_384, 1]) read(handler, delta('x'.repeat(length)))
  t.strictSame(said, [20_000, 16_387])
  t.equal(handler.onReadsDone(), true)
  t.strictSame(said, [20_000, 16_387, 1])
})

t.test('where the process is busy a first text is told at once, and what follows it closely a little later', async t => {
  let response: ServerResponse | undefined
  const gateway = await startGateway(t, answer => {
    response = openStream(answer)
    response.write(delta('Hello'))
  })
  const service = await startService(t, { STREAM_FLUSH_MS: '1000' }, gateway.url)
  const stream = await fetch(`${service.url}/api/agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': DEMO_KEY },
    body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
  })
  const reader = stream.body!.getReader()
  let raw = ''
  const until = async (text: string) => { while (!raw.includes(text)) raw += Buffer.from((await reader.read()).value!) }
  const wait = async (frames: string, text: string) => {
    const since = performance.now()
    response!.write(frames)
    await until(text)
    return performance.now() - since
  }
  await until('Hello')
  await work(0, LOOKED_AT)
  // Now is looked; the time until here may have been the service's start.
  await wait(delta(' to'), ' to')
  await work(0, LOOKED_AT)
  const calm = await wait(delta(' my'), 'my')
  t.ok(calm < 400, `${calm} ms, though it follows closely`)
  await work(1, 1100)
  const afterPause = await wait(delta(' dear'), 'dear')
  t.ok(afterPause < 400, `${afterPause} ms, after a pause`)
  t.ok(await wait(delta(' wor'), 'wor') < 400, 'nothing says yet that more is to come')
  const busy = await wait(delta('ld'), 'ld')
  t.ok(busy > 400, `${busy} ms`)
  response!.end(delta('!') + ending())
  await until('[DONE]')
  const events = parseStream(raw)
  t.equal(events.flatMap(event => event.type === 'chunk' ? event.content : []).join(''), 'Hello to my dear world!')
  t.strictSame(events.map(({ seq }) => seq), events.map((_event, index) => index + 1))
})

function read (handler: CompletionHandler, frames: string): void {
  const bytes = Buffer.from(frames)
  handler.onBody(bytes, bytes.toString('latin1'), 0, bytes.length)
}

/** Keeps the event loop busy for a share of its time, and lets it turn. */
async function work (share: number, ms: number): Promise<void> {
  const since = performance.now()
  while (performance.now() - since < ms) {
    const before = performance.now()
    if (share < 1) await delay(10)
    else await turn()
    const until = performance.now() + (share < 1 ? (performance.now() - before) * share / (1 - share) : 5)
    while (performance.now() < until);
  }
}

/** Timers that would keep the process. */
function countTimers (): number {
  return process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
}
