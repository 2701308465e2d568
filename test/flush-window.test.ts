import type { ServerResponse } from 'node:http'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { FlushWindow, type Gathering } from '../src/executor/flush-window.js'
import { CompletionHandler } from '../src/executor/gateway-answer.js'
import { LoopLoad } from '../src/executor/loop-load.js'
import { delta, ending, frame, openStream, startGateway } from './doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, parseStream, startService } from './helper.js'

const WINDOW = 80
const BUSY = { isHigh: () => true }
/** Longer than what a load is looked at for. */
const LOOKED_AT = 600
/** Longer than any test. */
const FOR_EVER = 600_000

class Counted implements Gathering {
  toldAt = -Infinity
  dueAt = 0
  isWaiting = false
  told = 0
  at = 0
  readonly #waits: Array<() => void> = []

  constructor (private readonly onTell: (counted: Counted) => void = () => {}) {}

  tell (): void {
    this.told++
    this.at = performance.now()
    this.onTell(this)
    for (const wake of this.#waits.splice(0)) wake()
  }

  next (): Promise<void> {
    return new Promise(resolve => { this.#waits.push(resolve) })
  }
}

t.test('what comes after a pause is told at once; what follows it closely waits, and is told together', async t => {
  const window = new FlushWindow(WINDOW, BUSY)
  const texts = new Counted()
  window.offer(texts)
  t.equal(texts.told, 1)
  const since = performance.now()
  for (let more = 0; more < 10; more++) window.offer(texts)
  t.equal(texts.told, 1)
  await texts.next()
  t.equal(texts.told, 2)
  t.ok(texts.at - since >= WINDOW * 7 / 8 - 1, `after ${texts.at - since} ms`)
  texts.toldAt = performance.now() - WINDOW
  window.offer(texts)
  t.equal(texts.told, 3)
})

t.test('many wait by one timer, none longer than the first that came after it, and none is forgotten', async t => {
  const window = new FlushWindow(WINDOW, BUSY)
  const order: Counted[] = []
  const all = Array.from({ length: 300 }, () => new Counted(counted => { order.push(counted) }))
  const timers = countTimers()
  for (const [index, one] of all.entries()) {
    one.toldAt = performance.now()
    window.offer(one)
    t.equal(countTimers(), timers + 1)
    if (index % 100 === 99) await all[index - 99]!.next()
  }
  // Told while it waits for another: what is offered meanwhile is not lost.
  const last = all.at(-1)!
  if (last.told === 0) await last.next()
  t.strictSame(order.map(one => all.indexOf(one)), all.map((_one, index) => index))
  t.ok(all.every(one => one.told === 1 && !one.isWaiting))
  t.equal(countTimers(), timers)
})

t.test('one that began to wait later is told later, though nothing more comes', async t => {
  const window = new FlushWindow(WINDOW, BUSY)
  const [first, second] = [new Counted(), new Counted()]
  first.toldAt = second.toldAt = performance.now()
  window.offer(first)
  await delay(WINDOW / 2)
  second.toldAt = performance.now()
  window.offer(second)
  await first.next()
  t.equal(second.told, 0)
  await second.next()
  t.ok(second.at - first.at >= WINDOW / 4, `${second.at - first.at} ms after the first`)
})

t.test('one that is closed keeps no timer, and tells nothing', async t => {
  const timers = countTimers()
  const window = new FlushWindow(FOR_EVER, BUSY)
  const texts = new Counted()
  window.offer(texts)
  window.offer(texts)
  t.equal(countTimers(), timers + 1)
  window.close()
  t.equal(countTimers(), timers)
  t.equal(texts.told, 1)
})

t.test('an answer that ends, breaks off or is given up tells what waits first', async t => {
  const window = new FlushWindow(FOR_EVER, BUSY)
  t.teardown(() => window.close())
  const told = (end: (handler: CompletionHandler, stop: AbortController) => void) => {
    const said: string[] = []
    const stop = new AbortController()
    const sink = { text: (text: string) => { said.push(text) }, reasoning: (text: string) => { said.push(`(${text})`) } }
    const settle = (how: string) => () => { said.push(how) }
    const handler = new CompletionHandler('a/model', sink, stop.signal, 1000, window, settle('done'), settle('failed'))
    handler.onHead({ status: 200, headers: { 'content-type': 'text/event-stream' } })
    const read = (frames: string) => {
      const bytes = Buffer.from(frames)
      handler.onBody(bytes, bytes.toString('latin1'), 0, bytes.length)
      handler.onPause()
    }
    for (const word of ['Hel', 'lo', ' wor', 'ld']) read(delta(word))
    read(frame({ choices: [{ delta: { reasoning: 'Hm' } }] }))
    read(delta('!'))
    t.strictSame(said, ['Hel', 'lo world'], 'only a thought after it told it before its time')
    end(handler, stop)
    return said.slice(2)
  }
  t.strictSame(told(handler => { handler.onError(new Error('broken')) }), ['(Hm)', '!', 'failed'])
  t.strictSame(told((_handler, stop) => { stop.abort() }), ['(Hm)', '!', 'failed'])
  t.strictSame(told(handler => {
    const bytes = Buffer.from(ending())
    handler.onBody(bytes, bytes.toString('latin1'), 0, bytes.length)
    handler.onPause()
    handler.onEnd()
  }), ['(Hm)', '!', 'done'])
})

t.test('a long text waits for nothing', async t => {
  const window = new FlushWindow(FOR_EVER, BUSY)
  t.teardown(() => window.close())
  const said: number[] = []
  const handler = new CompletionHandler('a/model', { text: text => { said.push(text.length) }, reasoning () {} }, new AbortController().signal, 1e6, window, () => {}, () => {})
  handler.onHead({ status: 200, headers: {} })
  for (const length of [1, 10_000, 10_000, 3, 16_384]) {
    const bytes = Buffer.from(delta('x'.repeat(length)))
    handler.onBody(bytes, bytes.toString('latin1'), 0, bytes.length)
    handler.onPause()
  }
  t.strictSame(said, [1, 20_000, 16_387])
})

t.test('where a text cannot be told that is its answer\'s end, and others are told all the same', async t => {
  const window = new FlushWindow(WINDOW, BUSY)
  const answer = (text: (content: string) => void) => new Promise<string>(resolve => {
    const handler = new CompletionHandler('a/model', { text, reasoning () {} }, new AbortController().signal, 1000, window,
      () => resolve('done'), error => resolve((error as Error & { code: string }).code))
    handler.onHead({ status: 200, headers: {} })
    for (const word of ['Hel', 'lo']) {
      const bytes = Buffer.from(delta(word))
      handler.onBody(bytes, bytes.toString('latin1'), 0, bytes.length)
      handler.onPause()
    }
    if (text === fine) told.then(() => handler.onError(new Error('broken')))
  })
  let isTold = () => {}
  const told = new Promise<void>(resolve => { isTold = resolve })
  const texts: string[] = []
  const fine = (content: string) => { if (texts.push(content) === 2) isTold() }
  const broken = answer(content => { if (content === 'lo') throw new Error('no room') })
  const other = answer(fine)
  t.equal(await broken, 'gateway_unavailable')
  await other
  t.strictSame(texts, ['Hel', 'lo'])
})

t.test('while the process is not busy every text is told at once, and what waited before is told in its time', async t => {
  let isBusy = true
  const window = new FlushWindow(WINDOW, { isHigh: () => isBusy })
  const texts = new Counted()
  window.offer(texts)
  window.offer(texts)
  isBusy = false
  const other = new Counted()
  for (let more = 0; more < 5; more++) window.offer(other)
  t.equal(other.told, 5)
  t.equal(texts.told, 1)
  await texts.next()
  t.equal(texts.told, 2)
})

t.test('a process is busy from half of its time on, and until it is so for less than a quarter', async t => {
  const load = new LoopLoad()
  t.equal(load.isHigh(performance.now()), false)
  const at = async (share: number) => {
    await work(share, LOOKED_AT)
    return load.isHigh(performance.now())
  }
  t.equal(await at(0.1), false)
  t.equal(await at(0.35), false)
  t.equal(await at(0.8), true)
  t.equal(await at(0.35), true)
  t.equal(await at(0.1), false)
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
  const calm = await wait(delta(' my'), 'my')
  t.ok(calm < 400, `${calm} ms, though it follows closely`)
  await work(1, 1100)
  const afterPause = await wait(delta(' dear'), 'dear')
  t.ok(afterPause < 400, `${afterPause} ms, after a pause`)
  const busy = await wait(delta(' wor') + delta('ld'), 'ld')
  t.ok(busy > 400, `${busy} ms`)
  response!.end(delta('!') + ending())
  await until('[DONE]')
  const events = parseStream(raw)
  t.equal(events.flatMap(event => event.type === 'chunk' ? event.content : []).join(''), 'Hello my dear world!')
  t.strictSame(events.map(({ seq }) => seq), events.map((_event, index) => index + 1))
})

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
