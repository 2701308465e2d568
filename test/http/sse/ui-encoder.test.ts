import fc from 'fast-check'
import t from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { findRewound, type NumberedEvent, responseOf } from '#shared/trace.ts'
import type { UiProtocol } from '../../../src/contract/ui-messages.js'
import { UiEncoder } from '../../../src/http/sse/ui-encoder.js'
import { often } from '../../support/scope.js'

const RUN = { runId: '00000000-0000-4000-8000-000000000000', agentId: '00000000-0000-4000-8000-000000000001', createdAt: '2026-01-01T00:00:00.000Z' }

/** The log of a run, and what is to be done with the events before they are lost. */
class Log {
  entries: NumberedEvent[] = []
  attempt = 0

  begin (): void {
    this.entries = []
    this.attempt++
    this.add({ type: 'started', ...RUN, attempt: this.attempt })
    if (this.attempt > 1) this.add({ type: 'rewind', to: 0 })
  }

  add (event: RunEvent): void {
    this.entries.push({ seq: firstSeq(this.attempt) + this.entries.length, event })
  }

  get last (): number { return this.entries.at(-1)!.seq }

  history = (last: number): NumberedEvent[] => this.entries.filter(({ seq }) => seq <= last)
}

/** A page: it follows the rules of the AI SDK's own clients, and throws where they do. */
class Page {
  parts: Array<{ type: string, id?: string, text?: string, isOpen?: boolean }> = []
  count = 0
  isWhole = false
  hasFailed = false

  take (chunk: { type: string, id: string, delta: string, toolCallId: string }): void {
    const { type, id, delta, toolCallId } = chunk
    this.count++
    const open = () => this.parts.find(part => part.id === id && part.isOpen) ?? fail(`${type} of ${id}`)
    if (type.endsWith('-start')) this.parts.push({ type: type.slice(0, -'-start'.length), id, text: '', isOpen: true })
    else if (type.endsWith('-delta')) open().text += delta
    else if (type.endsWith('-end')) open().isOpen = false
    else if (type === 'start-step') this.parts.push({ type: 'step' })
    else if (type === 'reset-step') this.parts.length = this.parts.findLastIndex(part => part.type === 'step') + 1
    else if (type === 'tool-input-available') this.parts.push({ type: 'tool', id: toolCallId })
    else if (type.startsWith('tool-output')) this.parts.find(part => part.type === 'tool' && part.id === toolCallId) ?? fail(`${type} of ${toolCallId}`)
    else if (type === 'error') this.hasFailed = true
    else if (type === 'finish') this.isWhole = !this.hasFailed
  }

  get text (): string { return this.parts.map(({ type, text }) => type === 'text' ? text : '').join('') }
}

function fail (words: string): never {
  throw new Error(words)
}

/** A connection of a page: what was sent over it, and how much of that the page has read. */
class Connection {
  readonly #encoder: UiEncoder
  #told = 0
  #unread: any[] = []

  constructor (private readonly log: Log, private readonly page: Page, protocol: UiProtocol, startIndex: number) {
    this.#encoder = new UiEncoder(RUN, log.history, { protocol, startIndex })
  }

  get state () { return this.#encoder.state }

  follow (): void {
    for (const { seq, event } of this.log.entries) {
      if (seq <= this.#told || this.state !== 'open') continue
      this.#told = seq
      this.#unread.push(...this.#encoder.encode(seq, event).split('\n\n').filter(Boolean).map(frame => JSON.parse(frame.slice('data: '.length))))
    }
  }

  replacing (): void { this.#encoder.replacing(this.#told) }

  /** @param most how many chunks the page reads. */
  read (most = Infinity): void {
    for (const chunk of this.#unread.splice(0, most)) this.page.take(chunk)
  }
}

/** `lag`: the connection is told nothing for a while. `lose`: the log has lost the events, and is restored from the database. */
type Act = { is: 'text' | 'think', text: string } | { is: 'step' | 'call' | 'rewind' | 'attempt' | 'lag' | 'lose' } | { is: 'cut', read: number }
const word = fc.constantFrom('a', 'b', 'ab', '')
const act = fc.oneof(
  { weight: 8, arbitrary: fc.record({ is: fc.constant('text' as const), text: word }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('think' as const), text: word }) },
  { weight: 5, arbitrary: fc.record({ is: fc.constantFrom('step' as const, 'call' as const, 'rewind' as const) }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('attempt' as const) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constantFrom('lag' as const, 'lose' as const) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('cut' as const), read: fc.nat(6) }) }
)

/** Plays a run. @param cut a page's connection breaks, after it has read so many chunks more. */
function play (acts: readonly Act[], { follow: followNow, replacing, cut }: { follow (): void, replacing (): void, cut (read: number): void }, log: Log): string {
  let [step, calls] = [0, 0]
  let lags = false
  const follow = () => { if (!lags) followNow() }
  log.begin()
  follow()
  for (const act of acts) {
    if (act.is === 'text') log.add({ type: 'chunk', content: act.text })
    if (act.is === 'think') log.add({ type: 'reasoning', content: act.text })
    if (act.is === 'step') log.add({ type: 'step', step: ++step })
    if (act.is === 'rewind') log.add({ type: 'rewind', to: log.history(Infinity).findLast(({ event }) => event.type === 'step' || event.type === 'started')!.seq })
    if (act.is === 'call') {
      const id = `c${++calls}`
      log.add({ type: 'tool_call', id, name: 'tool', arguments: {} })
      log.add({ type: 'tool_result', id, name: 'tool', result: 'found' })
    }
    if (act.is === 'attempt') {
      replacing()
      step = calls = 0
      log.begin()
    }
    if (act.is === 'cut') cut(act.read)
    if (act.is === 'lag') lags = true
    if (act.is === 'lose') {
      replacing()
      forget(log)
      lags = false
    }
    follow()
  }
  const response = responseOf(log.entries)
  lags = false
  log.add({
    type: 'done', runId: RUN.runId, response, executionTime: 1, creditsUsed: 1, finishReason: 'stop', usage: { promptTokens: 1, completionTokens: 1, totalTokens: 2, estimated: false }
  })
  follow()
  return response
}

/** A run that has ended is restored without what was thought, and without text that was taken back. */
function forget (log: Log): void {
  const rewound = findRewound(log.entries)
  log.entries = log.entries.map(({ seq, event }) => ({
    seq, event: event.type === 'reasoning' || (event.type === 'chunk' && rewound(seq)) ? { ...event, content: '' } : event
  }))
}

for (const protocol of ['5', '6', '7'] as const) {
  t.test(`a page of version ${protocol} has the right text in the end, or knows that it has not`, async t => {
    fc.assert(fc.property(fc.array(act, { maxLength: 20 }), fc.nat(20), (acts, late) => {
      for (const from of [0, late]) {
        const [log, page] = [new Log(), new Page()]
        let connection: Connection | undefined
        let beats = 0
        const response = play(acts, {
          follow () {
            if (beats++ >= from) connection ??= new Connection(log, page, protocol, 0)
            connection?.follow()
          },
          replacing: () => connection?.replacing(),
          cut () {}
        }, log)
        connection ??= new Connection(log, page, protocol, 0)
        connection.follow()
        connection.read()
        if (page.isWhole && page.text !== response) throw new Error(`it has ${page.text}, and not ${response}`)
        if (page.isWhole !== (connection.state === 'whole')) throw new Error('an end that is none')
        const mayBreak = protocol !== '7' || acts.some(({ is }) => is === 'attempt')
        if (!page.isWhole && !mayBreak) throw new Error('it could have been told')
        if (!acts.some(({ is }) => is === 'attempt' || is === 'rewind') && !page.isWhole) throw new Error('nothing was taken back')
      }
    }), { numRuns: often(1000) })
    t.pass('whatever the run takes back')
  })
}

t.test('a page that resumes by the number of its chunks has the right text in the end', async t => {
  fc.assert(fc.property(fc.array(act, { maxLength: 25 }), fc.array(fc.nat(8), { maxLength: 4 }), fc.boolean(), (acts, cuts, isForgotten) => {
    const [log, page] = [new Log(), new Page()]
    let connection = new Connection(log, page, 'workflow', 0)
    const cut = (read: number) => {
      connection.read(read)
      connection = new Connection(log, page, 'workflow', page.count)
    }
    const response = play(acts, { follow: () => connection.follow(), replacing: () => connection.replacing(), cut }, log)
    for (const read of cuts) {
      cut(read)
      if (page.isWhole) break
      if (isForgotten) forget(log)
      connection.follow()
    }
    connection.read()
    if (!page.isWhole || page.text !== response) throw new Error(`it has ${page.text}, and not ${response}`)
  }), { numRuns: often(3000) })
  t.pass('wherever its connections break')
})
