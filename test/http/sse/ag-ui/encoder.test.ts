import fc from 'fast-check'
import t, { type Test } from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { findRewound, type NumberedEvent, responseOf } from '#shared/trace.ts'
import type { AgUiReader } from '../../../../src/contract/ag-ui/messages.js'
import { createAgUiFormat } from '../../../../src/http/sse/ag-ui/format.js'
import { type AgUiSdk, loadAgUi, type Message } from '../../../faces/ag-ui-client.js'
import { often } from '../../../support/scope.js'

const RUN = { runId: '00000000-0000-4000-8000-000000000000', agentId: '00000000-0000-4000-8000-000000000001', createdAt: '2026-01-01T00:00:00.000Z' }
const ASKED = [{ id: 'm1', role: 'user', content: 'Hi' }]
const READER: AgUiReader = { threadId: 'thread', runId: 'run', messages: JSON.stringify(ASKED), isTold: false, hasReasoning: false }
const USAGE = { promptTokens: 1, completionTokens: 1, totalTokens: 2, estimated: false }

/** The log of a run. */
class Log {
  entries: NumberedEvent[] = []
  attempt = 0
  #steps = 0

  begin (): void {
    this.entries = []
    this.attempt++
    this.#steps = 0
    this.add({ type: 'started', ...RUN, attempt: this.attempt })
    if (this.attempt > 1) this.add({ type: 'rewind', to: 0 })
  }

  add (event: RunEvent): void {
    this.entries.push({ seq: firstSeq(this.attempt) + this.entries.length, event })
  }

  play (act: Act): void {
    const id = `c${this.entries.length}`
    if (act.is === 'text') this.add({ type: 'chunk', content: act.text })
    if (act.is === 'think') this.add({ type: 'reasoning', content: act.text })
    if (act.is === 'step') this.add({ type: 'step', step: ++this.#steps })
    if (act.is === 'wait') this.add({ type: 'retry', code: 'gateway_unavailable', delayMs: 1 })
    if (act.is === 'call') this.add({ type: 'tool_call', id, name: 'tool', arguments: {} })
    if (act.is === 'result') {
      const call = this.entries.findLast(({ event }) => event.type === 'tool_call')?.event
      if (call?.type === 'tool_call') this.add({ type: 'tool_result', id: call.id, name: 'tool', result: 'found' })
    }
    if (act.is === 'rewind') this.add({ type: 'rewind', to: this.entries.findLast(({ event }) => event.type === 'step' || event.type === 'started')!.seq })
    if (act.is === 'attempt') this.begin()
  }

  /** Has lost the events, and is restored from the database, which has no text that was taken back. */
  lose (): void {
    const rewound = findRewound(this.entries)
    this.entries = this.entries.map(({ seq, event }) => ({ seq, event: event.type === 'chunk' && rewound(seq) ? { ...event, content: '' } : event }))
  }

  end (ending: Ending): void {
    if (ending === 'done') this.add({ type: 'done', runId: RUN.runId, response: responseOf(this.entries), executionTime: 1, usage: USAGE, creditsUsed: 1, finishReason: 'stop' })
    if (ending === 'error') this.add({ type: 'error', runId: RUN.runId, error: 'It failed.', code: 'internal', retryable: true })
    if (ending === 'cancelled') this.add({ type: 'cancelled', runId: RUN.runId, creditsUsed: 1 })
  }

  history = (last: number): NumberedEvent[] => this.entries.filter(({ seq }) => seq <= last)
}

/** What a client was sent: it follows the log, and may come late. */
class Reading {
  readonly #format
  #told = 0
  frames: string

  constructor (private readonly log: Log, reader: AgUiReader) {
    this.#format = createAgUiFormat({ ...RUN, agUi: reader }, log.history)
    this.frames = this.#format.opening!
  }

  get isOver () { return this.#format.hasFailed! }

  follow (): void {
    for (const { seq, event } of this.log.entries) {
      if (seq <= this.#told) continue
      this.#told = seq
      this.frames += this.#format.encodePlain(seq, event, RUN.runId)
    }
  }

  cut (): void { this.frames += this.#format.encodeReconnect(0) }

  get events (): any[] { return this.frames.split('\n\n').filter(Boolean).map(frame => JSON.parse(frame.slice('data: '.length))) }
}

type Ending = 'done' | 'error' | 'cancelled' | 'none'
type Act = { is: 'text' | 'think', text: string } | { is: 'step' | 'call' | 'result' | 'rewind' | 'attempt' | 'wait' | 'joins' | 'lag' | 'lose' }
const word = fc.constantFrom('a', 'b', 'ab', '')
const act = fc.oneof(
  { weight: 8, arbitrary: fc.record({ is: fc.constant('text' as const), text: word }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('think' as const), text: word }) },
  { weight: 8, arbitrary: fc.record({ is: fc.constantFrom('step' as const, 'call' as const, 'result' as const, 'rewind' as const) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constantFrom('attempt' as const, 'wait' as const, 'joins' as const, 'lag' as const, 'lose' as const) }) }
)
const ending = fc.constantFrom<Ending>('done', 'error', 'cancelled', 'none')

t.test('the encoder of AG-UI', async t => {
  const loaded = await loadAgUi(t)
  if (!loaded) return
  t.capture(console, 'error')
  for (const sdk of loaded.sdks) await t.test(`for version ${sdk.version}`, async t => testEncoder(t, sdk))
})

async function testEncoder (t: Test, sdk: AgUiSdk): Promise<void> {
  const warnings = t.capture(console, 'warn')

  /** What the package makes of these events: the messages, as it applies what it has verified. */
  async function read (events: any[], messages: object[]): Promise<Message[]> {
    const Told = class extends (sdk.AbstractAgent as new (options: object) => any) { run () { return sdk.from(events) } }
    const agent = new Told({ threadId: 'thread', initialMessages: messages })
    await agent.runAgent({ runId: 'run' })
    return agent.messages
  }

  await t.test('tells whatever happens so that the package takes it, and shows the right text', async t => {
    const reader = sdk.isOfVersion1 ? { ...READER, protocolVersion: '1.0' } : READER
    await fc.assert(fc.asyncProperty(fc.array(act, { maxLength: 24 }), ending, async (acts, ending) => {
      const log = new Log()
      log.begin()
      const readings = [{ reading: new Reading(log, reader), messages: ASKED as object[] }]
      // While it lags nobody is told anything.
      let lags = false
      const follow = () => { if (!lags) readings.forEach(({ reading }) => reading.follow()) }
      follow()
      for (const act of acts) {
        if (act.is === 'lag' || act.is === 'lose') lags = act.is === 'lag'
        if (act.is === 'lose') log.lose()
        if (act.is === 'joins') readings.push({ reading: new Reading(log, { ...reader, isTold: true }), messages: [] })
        else log.play(act)
        follow()
      }
      log.end(ending)
      lags = false
      follow()
      // A connection that has to end before its run.
      if (ending === 'none') readings.forEach(({ reading }) => reading.cut())
      const answer = responseOf(log.entries)
      for (const { reading, messages } of readings) {
        const shown = await read(reading.events, messages)
        const text = shown.map(({ role, content }) => role === 'assistant' ? content ?? '' : '').join('')
        if (text !== answer || shown[0]?.role !== 'user') throw new Error(`${text} is shown, and ${answer} is the answer`)
        if (shown.some(({ id }, index) => shown.findIndex(other => other.id === id) !== index)) throw new Error('two messages have one id')
        const isOver = reading.events.some(({ type, outcome }) => type === 'RUN_FINISHED' && !outcome)
        if (isOver !== (ending === 'done')) throw new Error(`the end is ${ending}`)
        if (!reading.isOver) throw new Error('it has no end')
        const open = shown.flatMap(({ toolCalls = [] }) => toolCalls).filter(({ id }) => !shown.some(({ toolCallId }) => toolCallId === id))
        if (open.length > 0 && ending !== 'done') throw new Error('a call is left open')
      }
    }), { numRuns: often(200) })
    t.same(warnings(), [], 'and it knows all of it')
  })
}

t.test('a client whose conversation is not at hand has an error where text is taken back', async t => {
  const log = new Log()
  log.begin()
  const reading = new Reading(log, { ...READER, messages: undefined })
  log.play({ is: 'text', text: 'Hel' })
  reading.follow()
  t.equal(reading.isOver, false)
  log.play({ is: 'attempt' })
  reading.follow()
  t.match(reading.events.slice(-2), [{ type: 'TEXT_MESSAGE_END' }, { type: 'RUN_ERROR', code: 'answer_changed' }])
})

t.test('a long conversation is told once, and is not at hand afterwards', async t => {
  const long = JSON.stringify([{ id: 'm1', role: 'user', content: 'x'.repeat(70_000) }])
  const log = new Log()
  log.begin()
  const reading = new Reading(log, { ...READER, messages: long, isTold: true })
  t.match(reading.events, [{ type: 'RUN_STARTED' }, { type: 'MESSAGES_SNAPSHOT' }])
  log.play({ is: 'text', text: 'Hel' })
  reading.follow()
  log.play({ is: 'rewind' })
  reading.follow()
  t.match(reading.events.slice(-2), [{ type: 'TEXT_MESSAGE_END' }, { type: 'RUN_ERROR', code: 'answer_changed' }])
})

t.test('who has what the model thought is not told it again', async t => {
  const log = new Log()
  log.begin()
  log.play({ is: 'think', text: 'Hm.' })
  log.play({ is: 'text', text: 'Hello' })
  const reading = new Reading(log, { ...READER, hasReasoning: true })
  reading.follow()
  t.same(reading.events.map(({ type }) => type), ['RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT'])
})

t.test('a run whose events are gone is told as one text', async t => {
  const log = new Log()
  log.begin()
  log.entries = [{ seq: 7, event: { type: 'done', runId: RUN.runId, response: 'Hello', executionTime: 1, usage: USAGE, creditsUsed: 1, finishReason: 'stop' } }]
  const reading = new Reading(log, READER)
  reading.follow()
  t.match(reading.events, [{}, { type: 'TEXT_MESSAGE_START' }, { delta: 'Hello' }, { type: 'TEXT_MESSAGE_END' }, { type: 'RUN_FINISHED', threadId: 'thread', runId: 'run' }])
})
