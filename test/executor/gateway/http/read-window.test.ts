import type { ServerResponse } from 'node:http'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { CompletionHandler } from '../../../../src/executor/gateway/completion.js'
import { ReadWindow, type PausableSource } from '../../../../src/executor/gateway/http/read-window.js'
import { LoopLoad } from '../../../../src/executor/gateway/loop-load.js'
import { delta, ending, frame, openStream, startGateway } from '../../../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, parseStream, startService } from '../../../support/helper.js'

const WINDOW = 80
/** For tests in which a short stall of the machine must not look like a pause. */
const LONG_WINDOW = 600
const BUSY = { isHigh: () => true }
/** Longer than a sample of the load. */
const SAMPLE_MS = 600
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

t.test('the first emission does not pause a source; a second one within the window does', async t => {
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

t.test('an emission right after a resumption pauses the source again; a later one does not', async t => {
  const window = new ReadWindow(WINDOW, BUSY)
  const source = new Fake(() => { window.onEmit(source) })
  for (let n = 0; n < 2; n++) window.onEmit(source)
  await source.resumed()
  t.ok(source.isPaused, 'it emitted as soon as it was resumed')
  await source.resumed()
  t.ok(source.windowEnd - source.at >= WINDOW * 23 / 24)
  window.close()
  const next = new ReadWindow(WINDOW, BUSY)
  const other = new Fake()
  for (let n = 0; n < 2; n++) next.onEmit(other)
  t.ok(other.windowEnd > performance.now())
  await other.resumed()
  t.ok(other.windowEnd - other.at <= WINDOW / 4, 'a quarter of a window')
})

t.test('many sources share one timer and are resumed in order, a few per turn of the event loop', async t => {
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
    for (let n = 0; n < 2; n++) window.onEmit(one)
    t.ok(one.isPaused)
    if (index < 99) t.equal(countTimers(), timers + 1)
    // While the previous ones are being resumed.
    if (index % 100 === 99) await all[index - 99]!.resumed()
  }
  const last = all.at(-1)!
  if (last.isPaused) await last.resumed()
  t.strictSame(order.map(one => all.indexOf(one)), all.map((_one, index) => index))
  t.equal(most, 16)
  t.equal(countTimers(), timers)
})

t.test('a source that was paused later is resumed later, without further emissions', async t => {
  const window = new ReadWindow(LONG_WINDOW, BUSY)
  const [first, second] = [new Fake(), new Fake()]
  for (let n = 0; n < 2; n++) window.onEmit(first)
  await delay(LONG_WINDOW / 2)
  for (let n = 0; n < 2; n++) window.onEmit(second)
  await first.resumed()
  t.ok(second.isPaused)
  await second.resumed()
  t.ok(second.at - first.at >= LONG_WINDOW / 4, `${second.at - first.at} ms after the first`)
})

/** A source whose window ends at a fixed time. */
class Due implements PausableSource {
  isPaused = false

  constructor (private readonly due: number) {}

  get windowEnd (): number { return this.due }
  set windowEnd (_end: number) {}
  pause (): void { this.isPaused = true }
  resume (): void { this.isPaused = false }
}

t.test('a source that is due a sixteenth of a window later is not resumed in the same batch', async t => {
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

t.test('a closed window has no timer, and resumes nothing', async t => {
  const timers = countTimers()
  const window = new ReadWindow(FOR_EVER, BUSY)
  const source = new Fake()
  for (let n = 0; n < 2; n++) window.onEmit(source)
  t.equal(countTimers(), timers + 1)
  window.close()
  t.equal(countTimers(), timers)
  const soon = new ReadWindow(WINDOW, BUSY)
  const many = Array.from({ length: 17 }, () => new Fake())
  for (const one of many) for (let n = 0; n < 2; n++) soon.onEmit(one)
  await many[15]!.resumed()
  soon.close()
  await delay(WINDOW)
  t.ok(many[16]!.isPaused, 'nor in the next turn')
})

t.test('while the load is low nothing is paused, and sources that are paused already are resumed in time', async t => {
  let isBusy = true
  const window = new ReadWindow(WINDOW, { isHigh: () => isBusy })
  const source = new Fake()
  for (let n = 0; n < 2; n++) window.onEmit(source)
  isBusy = false
  const other = new Fake()
  for (let n = 0; n < 5; n++) window.onEmit(other)
  t.notOk(other.isPaused)
  t.ok(source.isPaused)
  await source.resumed()
  t.notOk(source.isPaused)
})

t.test('the load is high above 50 % and until it falls below 25 %', async t => {
  let now = 0
  let active = 0
  const load = new LoopLoad((one, other) => {
    const [spent, passed] = other ? [one!.active - other.active, one!.active + one!.idle - other.active - other.idle] : [active, now]
    return { active: spent, idle: passed - spent, utilization: spent / passed }
  }, now)
  const at = (share: number, ms = SAMPLE_MS) => {
    now += ms
    active += ms * share
    return load.isHigh(now)
  }
  t.equal(load.isHigh(now), false)
  t.equal(at(1, 400), false, 'a single long turn of the event loop is not high load')
  t.equal(at(0, 200), true, 'but it counts in the sample')
  t.equal(at(0.1), false)
  t.equal(at(0.35), false)
  t.equal(at(0.8), true)
  t.equal(at(0.35), true)
  t.equal(at(0.1), false)
})

t.test('the load is measured by Node.js', async t => {
  const load = new LoopLoad()
  await work(0, SAMPLE_MS)
  t.equal(load.isHigh(performance.now()), false)
  await work(1, SAMPLE_MS)
  t.equal(load.isHigh(performance.now()), true)
})

t.test('output of one turn of the event loop is emitted together, and before the end, the failure or the cancellation', async t => {
  const emittedBefore = (end: (handler: CompletionHandler, stop: AbortController) => void) => {
    const emitted: string[] = []
    const stop = new AbortController()
    const sink = { text: (text: string) => { emitted.push(text) }, reasoning: (text: string) => { emitted.push(`(${text})`) } }
    const settle = (how: string) => () => { emitted.push(how) }
    const handler = new CompletionHandler('a/model', sink, stop.signal, 1000, settle('done'), settle('failed'))
    handler.onHead({ status: 200, headers: { 'content-type': 'text/event-stream' } })
    t.equal(handler.onReadsDone(), false, 'there is nothing to emit')
    for (const word of ['Hel', 'lo']) read(handler, delta(word))
    t.strictSame(emitted, [])
    t.equal(handler.onReadsDone(), true)
    for (const word of [' wor', 'ld']) read(handler, delta(word))
    read(handler, frame({ choices: [{ delta: { reasoning: 'Hm' } }] }))
    read(handler, delta('!'))
    t.strictSame(emitted, ['Hello', ' world'], 'only reasoning after it made it flush early')
    end(handler, stop)
    t.equal(handler.onReadsDone(), false)
    return emitted.slice(2)
  }
  t.strictSame(emittedBefore(handler => { handler.onError(new Error('broken')) }), ['(Hm)', '!', 'failed'])
  t.strictSame(emittedBefore((_handler, stop) => { stop.abort() }), ['(Hm)', '!', 'failed'])
  t.strictSame(emittedBefore(handler => {
    read(handler, ending())
    handler.onEnd()
  }), ['(Hm)', '!', 'done'])
})

t.test('a completion is cancelled even if its last text cannot be emitted', async t => {
  const stop = new AbortController()
  let failure: unknown
  const handler = new CompletionHandler('a/model', { text () { throw new Error('no room') }, reasoning () {} }, stop.signal, 1000, () => {}, error => { failure = error })
  let aborted = 0
  handler.attach({ isSent: true, abort: () => { aborted++ } })
  handler.onHead({ status: 200, headers: {} })
  read(handler, delta('Hello'))
  stop.abort(new Error('stop'))
  t.equal(failure, stop.signal.reason)
  t.equal(aborted, 1)
})

t.test('an error of the sink does not hide the failure of a completion', async t => {
  let failure: any
  const handler = new CompletionHandler('a/model', { text () { throw new Error('no room') }, reasoning () {} }, new AbortController().signal, 1000, () => {}, error => { failure = error })
  handler.attach({ isSent: true, abort () {} })
  handler.onHead({ status: 200, headers: {} })
  read(handler, delta('Hello'))
  handler.onError(new Error('broken'))
  t.equal(failure.code, 'gateway_unavailable')
})

t.test('a long text is emitted within a turn of the event loop', async t => {
  const emitted: number[] = []
  const handler = new CompletionHandler('a/model', { text: text => { emitted.push(text.length) }, reasoning () {} }, new AbortController().signal, 1e6, () => {}, () => {})
  handler.onHead({ status: 200, headers: {} })
  for (const length of [10_000, 10_000, 3, 16_384, 1]) read(handler, delta('x'.repeat(length)))
  t.strictSame(emitted, [20_000, 16_387])
  t.equal(handler.onReadsDone(), true)
  t.strictSame(emitted, [20_000, 16_387, 1])
})

t.test('under high load the first text is emitted at once, and text within the window later', async t => {
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
  await work(0, SAMPLE_MS)
  // This emission takes a sample; the one before may have included the service's start.
  await wait(delta(' to'), ' to')
  await work(0, SAMPLE_MS)
  const calm = await wait(delta(' my'), 'my')
  await work(1, 1100)
  const afterPause = await wait(delta(' dear'), 'dear')
  const first = await wait(delta(' wor'), 'wor')
  const busy = await wait(delta('ld'), 'ld')
  // Held to each other, not to a clock: on a machine under load each of them is late.
  t.ok(calm < busy, `${calm} ms in a calm process, ${busy} ms in a busy one`)
  t.ok(afterPause < busy, `${afterPause} ms after a pause`)
  t.ok(first < busy, `${first} ms, as the first within its window`)
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

/** Keeps the event loop busy for a share of the time. */
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

/** The number of timers that keep the process alive. */
function countTimers (): number {
  return process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
}
