import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { attemptOf, firstSeq } from '#shared/event-number.ts'
import { EventView } from '#shared/reader/event-view.ts'
import { type EventGroup, readKnownEvents } from '#shared/reader/known-events.ts'
import { MARK } from '#shared/reader/plain-text.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { type NumberedEvent, responseOf } from '#shared/trace.ts'
import { often } from '../../support/scope.js'

const RUN = '6f0a1f0e-5a0e-4c58-9d5c-0d1f6f6b2a10'

/** A reader that is told events one after the other. */
class Reader {
  readonly told: NumberedEvent[] = []
  readonly #view: EventView
  readonly #seen: NumberedEvent[] = []

  constructor (known = '') {
    this.#view = new EventView(readKnownEvents(known))
  }

  /** Resumes where another one has left. @param log what is still known of the run. */
  resume (after: number, log: readonly NumberedEvent[]): this {
    const attempt = attemptOf(log.at(-1)!.seq)
    this.#seen.push(...log.filter(({ seq }) => seq <= after))
    this.#view.resume(after, attempt, () => this.#seen)
    return this
  }

  take (events: readonly NumberedEvent[]): this {
    for (const entry of events) {
      this.told.push(...this.#view.passes(entry.event.type) ? [entry] : this.#view.translate(entry, () => this.#seen))
      this.#seen.push(entry)
    }
    return this
  }

  get text (): string { return textOf(this.told) }
  get types (): string[] { return this.told.map(({ event }) => event.type) }
}

/** What somebody has who appends. */
function textOf (told: readonly NumberedEvent[]): string {
  return told.map(({ event }) => event.type === 'chunk' ? event.content : '').join('')
}

function started (attempt = 1): RunEvent {
  return { type: 'started', runId: RUN, agentId: RUN, attempt }
}

function chunk (content: string): RunEvent {
  return { type: 'chunk', content }
}

function done (response: string): RunEvent {
  return { type: 'done', response } as RunEvent
}

function number (events: RunEvent[], attempt = 1): NumberedEvent[] {
  return events.map((event, index) => ({ seq: firstSeq(attempt) + index, event }))
}

/** A run of one step whose tries say these pieces; the last one is the answer. */
function retried (...tries: string[][]): NumberedEvent[] {
  const events = tries.flatMap((pieces, at): RunEvent[] => [...(at > 0 ? [{ type: 'rewind', to: 1 } as const] : []), ...pieces.map(chunk)])
  return number([started(), ...events, done(tries.at(-1)!.join(''))])
}

t.test('a reader that knows nothing of rewinds', async t => {
  const tell = (...tries: string[][]) => new Reader().take(retried(...tries)).text

  t.test('passes over what it has already, to the letter', async t => {
    t.equal(tell(['Hel'], ['Hel', 'lo']), 'Hello')
    t.equal(tell(['Hel'], ['Hello']), 'Hello')
    t.equal(tell(['Hel', 'lo'], ['H', 'ell', 'o']), 'Hello')
    t.equal(tell(['a', 'b'], ['abc', 'd']), 'abcd')
    t.equal(tell(['Grüße 🙂'], ['Grüße ', '🙂 an alle']), 'Grüße 🙂 an alle')
  })

  t.test('has a mark where the text goes another way, and then the whole of the new one', async t => {
    t.equal(tell(['Hello wor'], ['Hello', ' you']), `Hello wor${MARK}Hello you`)
    t.equal(tell(['Yes'], ['No']), `Yes${MARK}No`)
    t.equal(tell(['Yes, but'], ['Yes']), `Yes, but${MARK}Yes`, 'also where it only ends before')
    t.equal(tell(['Yes'], []), `Yes${MARK}`)
  })

  t.test('is told several rewinds one after the other by the same rule', async t => {
    t.equal(tell(['ab'], ['abc'], ['ab', 'cd']), 'abcd')
    t.equal(tell(['ab'], [], ['a'], ['abc']), 'abc')
    t.equal(tell(['ab'], ['x', 'y'], ['xyz']), `ab${MARK}xyz`, 'the text after the mark counts')
    t.equal(tell(['ab'], ['xy'], ['abc']), `ab${MARK}xy${MARK}abc`)
  })

  t.test('keeps what an earlier step has said', async t => {
    const events = number([
      started(), chunk('Let me see. '), { type: 'tool_call', id: 'a', name: 'f', arguments: {} }, { type: 'tool_result', id: 'a', name: 'f', result: '4' },
      chunk('It is fo'), { type: 'rewind', to: 4 }, chunk('It is four.'), done('Let me see. It is four.')
    ])
    const reader = new Reader().take(events)
    t.equal(reader.text, 'Let me see. It is four.')
    t.strictSame(reader.types, ['started', 'chunk', 'chunk', 'chunk', 'done'], 'tools are not told')
    t.strictSame(reader.told.map(({ seq }) => seq), [1, 2, 5, 7, 8], 'numbers stay those of the run')
  })

  t.test('gets the same events back where nothing is rewound', async t => {
    const events = number([started(), chunk('a'), chunk('b'), done('ab')])
    const { told } = new Reader().take(events)
    for (const [index, entry] of events.entries()) t.equal(told[index], entry, 'the very same, so that encodings are shared')
  })

  t.test('reads on through the attempt of another process', async t => {
    const first = number([started(), chunk('Hel')])
    const second = number([started(2), { type: 'rewind', to: 0 }, chunk('Hell'), chunk('o'), done('Hello')], 2)
    t.equal(new Reader().take(first).take(second).text, 'Hello')
  })
})

t.test('what a reader is told beside the text', async t => {
  const events = number([
    { type: 'queued', runId: RUN, position: 1 }, started(), { type: 'step', step: 1 }, { type: 'reasoning', content: 'hm' }, chunk('a'),
    { type: 'retry', code: 'gateway_unavailable', delayMs: 1 }, { type: 'rewind', to: 2 }, chunk('a'), { type: 'progress' }, { type: 'cancelled', runId: RUN, creditsUsed: 1 }
  ])
  t.strictSame(new Reader().take(events).types, ['started', 'chunk', 'error'])
  t.match(new Reader().take(events).told.at(-1), { seq: 10, event: { type: 'error', code: 'run_cancelled', error: 'The run was cancelled.', runId: RUN, retryable: false } })
  t.strictSame(new Reader('cancelled').take(events).types, ['started', 'chunk', 'cancelled'])
  t.strictSame(new Reader('tools').take(events).types, ['started', 'step', 'chunk', 'error'])
  t.strictSame(new Reader('progress').take(events).types, ['queued', 'started', 'reasoning', 'chunk', 'retry', 'progress', 'error'])
  t.strictSame(new Reader('rewind').take(events).types, ['started', 'chunk', 'rewind', 'chunk', 'error'])
  t.strictSame(new Reader('*').take(events).told, events)
})

t.test('a reader that resumes in a later attempt without what it has of an earlier one', async t => {
  const second = number([started(2), { type: 'rewind', to: 0 }, chunk('Hel'), { type: 'step', step: 2 }, chunk('lo'), done('Hello')], 2)
  const rest = (after: number, known = '') => new Reader(known).resume(after, second).take(second.filter(({ seq }) => seq > after)).text
  t.equal(rest(7), `${MARK}Hello`, 'has a mark: nobody knows any more what it has')
  t.equal(rest(second[0]!.seq), `${MARK}Hello`, 'also if it has been told only that the attempt began')
  t.equal(rest(second[2]!.seq), 'lo', 'and none if it has been told its text')
  t.equal(rest(second[3]!.seq, 'tools'), `${MARK}Hello`, 'whatever else it has been told')
  t.equal(rest(1), 'Hello', 'or if it has no text at all')
})

// --- Of any run ---

const piece = fc.string({ unit: fc.constantFrom('a', 'b', '🙂'), minLength: 1, maxLength: 4 })

/** Runs with any number of tries, steps and attempts, whose texts are often alike. */
const run = fc.array(fc.oneof(
  { weight: 5, arbitrary: piece.map(content => ({ kind: 'chunk', content }) as const) },
  { weight: 2, arbitrary: fc.nat({ max: 6 }).map(back => ({ kind: 'rewind', back }) as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'tool' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'attempt' } as const) }
), { maxLength: 20 }).map(moves => {
  const entries: NumberedEvent[] = [{ seq: 1, event: started() }]
  const push = (event: RunEvent) => entries.push({ seq: entries.at(-1)!.seq + 1, event })
  for (const move of moves) {
    const { seq } = entries.at(-1)!
    const attempt = attemptOf(seq)
    if (move.kind === 'chunk') push(chunk(move.content))
    else if (move.kind === 'rewind') push({ type: 'rewind', to: Math.max(firstSeq(attempt), seq - move.back) })
    else if (move.kind === 'tool') push({ type: 'step', step: 1 })
    else {
      entries.push({ seq: firstSeq(attempt + 1), event: started(attempt + 1) })
      push({ type: 'rewind', to: 0 })
    }
  }
  push(done(responseOf(entries)))
  return entries
})

/** The text is the answer, or the answer stands after the last mark. */
function isRight (text: string, response: string): boolean {
  return text === response || text.endsWith(MARK + response)
}

t.test('whatever a run does, a reader that appends has its answer in the end, and no letter of it twice', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(run, entries => {
    const { text } = new Reader().take(entries)
    const response = responseOf(entries)
    assert.ok(isRight(text, response), JSON.stringify(text))
    assert.ok(text.lastIndexOf(MARK) === -1 ? text === response : text.slice(text.lastIndexOf(MARK) + MARK.length) === response)
  }), { numRuns: often(3000) }))
})

t.test('there is a mark only where a text was taken back that the answer does not begin with', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(piece, { maxLength: 6 }), fc.array(fc.nat(6), { maxLength: 3 }), (pieces, cuts) => {
    const { text } = new Reader().take(retried(...cuts.map(cut => pieces.slice(0, cut)), pieces))
    assert.equal(text, pieces.join(''))
  }), { numRuns: often(1000) }))
})

t.test('a reader that resumes after anything it was told has the same in the end as one that stayed', async t => {
  const groups: EventGroup[] = ['tools', 'cancelled']
  t.doesNotThrow(() => fc.assert(fc.property(run, fc.subarray(groups), fc.nat(), (entries, known, at) => {
    const all = new Reader(known.join()).take(entries)
    // What is missing at the end is written together with the end.
    const stops = all.told.filter((entry, index) => entries.includes(entry) || all.told[index + 1]?.event.type !== 'done')
    const stop = stops[at % stops.length]!
    const before = all.told.slice(0, all.told.indexOf(stop) + 1)
    const { seq: after } = before.at(-1)!
    // The log holds what it holds at the end: the last attempt.
    const last = attemptOf(entries.at(-1)!.seq)
    const log = entries.filter(({ seq }) => attemptOf(seq) === last)
    const rest = new Reader(known.join()).resume(after, log).take(log.filter(({ seq }) => seq > after))
    const text = textOf(before) + rest.text
    assert.ok(isRight(text, responseOf(entries)), JSON.stringify(text))
    if (last === 1) assert.equal(text, all.text)
  }), { numRuns: often(3000) }))
})
