import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import type { Test } from 'tap'
import { firstSeq, follow, type Entry, type EventLog, type Follower, type Reader } from '../src/executor/event-log.js'
import { NO_USAGE } from '../src/executor/usage.js'
import type { RunEvent } from '../src/schemas.js'

const CANCELLED: RunEvent = { type: 'cancelled', runId: 'a', creditsUsed: 0 }
const FAILED: RunEvent = { type: 'error', error: 'It failed.', code: 'internal_error', runId: 'a', retryable: false }
export const DONE: Extract<RunEvent, { type: 'done' }> = { type: 'done', response: '', executionTime: 1, runId: 'a', usage: NO_USAGE, creditsUsed: 1, finishReason: 'stop' }

export function chunk (content = 'x'): RunEvent {
  return { type: 'chunk', content }
}

/** A reader with room for so many entries. */
export class TestReader implements Reader {
  seqs: number[] = []
  events: RunEvent[] = []
  contents: string[] = []
  ends = 0
  lostAfter?: number
  #moves = new Set<() => void>()

  constructor (public room = Infinity) {}

  write ({ seq, event }: Entry): boolean {
    assert.ok(this.room > 0, 'nothing is written to a full reader')
    assert.equal(this.ends, 0, 'nothing is written after the end')
    this.seqs.push(seq)
    this.events.push(event)
    if (event.type === 'chunk') this.contents.push(event.content)
    this.#move()
    return --this.room > 0
  }

  end (): void {
    this.ends++
    this.#move()
  }

  lost (after: number): void {
    this.lostAfter = after
    this.#move()
  }

  /** Waits until what it was told is so. */
  async until (isSo: (reader: this) => boolean): Promise<void> {
    while (!isSo(this)) await new Promise<void>(resolve => { this.#moves.add(resolve) })
  }

  #move (): void {
    for (const move of this.#moves) move()
    this.#moves.clear()
  }
}

export function read (log: EventLog, runId: string, after = 0, room = Infinity): { reader: TestReader, follower: Follower } {
  const reader = new TestReader(room)
  return { reader, follower: follow(log, runId, after, reader) }
}

/**
 * What every log of runs' events does in its own process.
 * @param numRuns how many random histories it is put through.
 */
export async function testEventLog (t: Test, createLog: (t: Test) => EventLog, numRuns: number): Promise<void> {
  t.test('a run\'s events are numbered from 1, each run by itself', async t => {
    const log = createLog(t)
    const [a, b, c] = nameRuns()
    t.equal(log.last(a), undefined)
    t.strictSame([log.append(a, chunk('1')).seq, log.append(a, chunk('2')).seq, log.append(b, chunk('1')).seq], [1, 2, 1])
    t.strictSame([log.last(a), log.last(b)], [2, 1])
    t.match(log.next(a, 1), { seq: 2, event: chunk('2') })
    t.equal(log.next(a, 2), undefined)
    t.equal(log.next(c, 0), undefined)
  })

  t.test('a reader is told the backlog after its cursor, then what happens, and the end once', async t => {
    for (const last of [DONE, FAILED, CANCELLED]) {
      const log = createLog(t)
      const [a, b] = nameRuns()
      log.append(a, chunk('1'))
      log.append(a, chunk('2'))
      const { reader, follower } = read(log, a, 1)
      t.strictSame(reader.contents, ['2'])
      t.equal(follower.cursor, 2)
      log.append(b, chunk('another run\'s'))
      log.append(a, chunk('3'))
      t.strictSame(reader.contents, ['2', '3'])
      t.equal(reader.ends, 0)
      log.append(a, last)
      t.strictSame(reader.seqs, [2, 3, 4])
      follower.resume()
      t.equal(reader.ends, 1, last.type)
      t.match(read(log, a, 2).reader, { seqs: [3, 4], contents: ['3'], ends: 1 }, 'and a later reader all of it at once')
    }
  })

  t.test('whatever was told is told again as it was, from wherever', async t => {
    const log = createLog(t)
    const plain = { noNullPrototype: true }
    const text = fc.string({ unit: fc.constantFrom('a', '"', 'é', '語', '😀', '\n') })
    const event = fc.oneof(
      { weight: 4, arbitrary: fc.record({ type: fc.constant('chunk' as const), content: text }, plain) },
      { weight: 2, arbitrary: fc.record({ type: fc.constant('reasoning' as const), content: text }, plain) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('rewind' as const), to: fc.nat() }, plain) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('step' as const), step: fc.nat() }, plain) }
    )
    t.doesNotThrow(() => fc.assert(fc.property(fc.array(event), fc.nat({ max: 10 }), (events, after) => {
      const [a] = nameRuns()
      const live = read(log, a).reader
      for (const event of events) log.append(a, event)
      assert.deepEqual(live.events, events)
      assert.deepEqual(read(log, a, after).reader.events, events.slice(after))
      assert.deepEqual(log.entries(a).map(({ event }) => event), events)
      assert.deepEqual(log.entries(a, after).map(({ seq, event }) => [seq, event]), events.map((event, index) => [index + 1, event]).slice(after))
      log.forget(a)
    }), { numRuns }))
  })

  t.test('a reader may come before the run', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.append(a, chunk('1'))
    t.strictSame(reader.contents, ['1'])
  })

  t.test('a full reader gets nothing until it has room, and nothing is lost or kept for it', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader, follower } = read(log, a, 0, 2)
    for (const content of ['1', '2', '3', '4', '5']) log.append(a, chunk(content))
    t.strictSame(reader.contents, ['1', '2'])
    reader.room = 1
    follower.resume()
    t.strictSame(reader.contents, ['1', '2', '3'])
    t.equal(follower.cursor, 3)
    log.append(a, DONE)
    t.equal(reader.ends, 0)
    reader.room = 3
    follower.resume()
    t.strictSame(reader.seqs, [1, 2, 3, 4, 5, 6])
    t.equal(reader.ends, 1, 'a last event that fills the reader ends it all the same')
  })

  t.test('a reader that was stopped gets nothing more, not even when it is stopped while it reads', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader, follower } = read(log, a)
    log.append(a, chunk('1'))
    follower.stop()
    follower.stop()
    log.append(a, chunk('2'))
    follower.resume()
    t.strictSame(reader.contents, ['1'])

    const seqs: number[] = []
    const leaving = follow(log, a, 2, {
      write ({ seq }) {
        seqs.push(seq)
        leaving.stop()
        return true
      },
      end () { t.fail('the end is told to a reader that is gone') },
      lost () {}
    })
    log.append(a, chunk('3'))
    log.append(a, DONE)
    t.strictSame(seqs, [3])
  })

  t.test('readers at any cursor, however slow, agree on the run: no gap, no repetition, one end', async t => {
    const log = createLog(t)
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.constant({ kind: 'append' } as const) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const), after: fc.nat(12), room: fc.nat({ max: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('resume' as const), who: fc.nat(), room: fc.nat({ max: 5 }) }) },
      { arbitrary: fc.record({ kind: fc.constant('stop' as const), who: fc.nat() }), weight: 1 }
    )
    t.doesNotThrow(() => fc.assert(fc.property(fc.array(operation, { maxLength: 60 }), operations => {
      const [a] = nameRuns()
      // The run itself is told as long as somebody appends; it ends with the operations.
      const total = Math.max(13, operations.filter(({ kind }) => kind === 'append').length + 1)
      const readers: Array<ReturnType<typeof read> & { after: number, stopped: boolean }> = []
      for (const operation of operations) {
        const chosen = 'who' in operation ? readers[operation.who % readers.length] : undefined
        if (operation.kind === 'append') log.append(a, chunk())
        if (operation.kind === 'join') readers.push({ ...read(log, a, operation.after, operation.room + 1), after: operation.after, stopped: false })
        if (operation.kind === 'stop' && chosen && !chosen.stopped) {
          chosen.follower.stop()
          chosen.stopped = true
        }
        if (operation.kind === 'resume' && chosen) {
          chosen.reader.room = operation.room + 1
          chosen.follower.resume()
        }
        for (const { reader, follower, after, stopped } of readers) {
          assert.deepEqual(reader.seqs, reader.seqs.map((_, index) => after + 1 + index), 'one after the other')
          assert.equal(follower.cursor, after + reader.seqs.length)
          if (reader.room > 0 && !stopped) assert.ok(follower.cursor >= (log.last(a) ?? 0), 'who has room is up to date')
        }
      }
      while ((log.last(a) ?? 0) < total - 1) log.append(a, chunk())
      log.append(a, DONE)
      for (const { reader, follower, after, stopped } of readers) {
        const heard = reader.seqs.length
        reader.room = Infinity
        follower.resume()
        assert.equal(reader.seqs.length, stopped ? heard : total - after)
        assert.equal(reader.ends, stopped ? 0 : 1)
      }
      log.forget(a)
    }), { numRuns }))
  })

  t.test('a later attempt is numbered beyond all that an earlier one can have said', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a, 57)
    t.strictSame(log.awaited(), [a])
    log.open(a, 2)
    t.equal(log.append(a, chunk('1')).seq, 1_000_000_001)
    t.equal(log.append(a, chunk('2')).seq, 1_000_000_002)
    t.strictSame(log.awaited(), [])
    t.strictSame(reader.seqs, [1_000_000_001, 1_000_000_002])
    t.strictSame(read(log, a, 1_000_000_001).reader.contents, ['2'])
    t.strictSame(read(log, a).reader.contents, ['1', '2'])
  })

  t.test('who has had the last event of a finished run is told that there is no more', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    log.append(a, chunk('1'))
    log.append(a, DONE)
    t.match(read(log, a, 2).reader, { seqs: [], ends: 1 })
  })

  t.test('what is told of a run elsewhere is kept, but for what is known', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.keep(a, 1, [chunk('1'), chunk('2')])
    log.keep(a, 1, [chunk('1')])
    log.keep(a, 2, [chunk('2'), chunk('3')])
    log.keep(a, 4, [])
    log.keep(a, 4, [DONE])
    log.keep(a, 1, [chunk('1'), chunk('2'), chunk('3'), DONE])
    t.match(reader, { seqs: [1, 2, 3, 4], contents: ['1', '2', '3'], ends: 1 })
    t.equal(log.hasEnded(a), true)
    t.equal(log.last(a), 4)
  })

  t.test('what does not follow on what is known is not taken, until it does', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.keep(a, 2, [chunk('2')])
    t.equal(log.last(a), undefined)
    log.keep(a, 1, [chunk('1')])
    log.keep(a, 3, [chunk('3'), DONE])
    t.strictSame(reader.seqs, [1])
    t.equal(log.hasEnded(a), false)
    log.keep(a, 2, [chunk('2')])
    log.keep(a, 3, [chunk('3')])
    t.strictSame(reader.contents, ['1', '2', '3'])
  })

  t.test('a later attempt replaces what is known of an earlier one, which is heard no more', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.keep(a, 1, [chunk('1'), chunk('2')])
    log.keep(a, firstSeq(3), [chunk('3.1')])
    t.strictSame(log.entries(a).map(({ seq }) => seq), [firstSeq(3)])
    log.keep(a, 3, [chunk('3')])
    log.keep(a, firstSeq(2), [chunk('2.1'), DONE])
    log.keep(a, firstSeq(3) + 1, [chunk('3.2')])
    t.strictSame(reader.contents, ['1', '2', '3.1', '3.2'])
    t.strictSame(reader.seqs, [1, 2, firstSeq(3), firstSeq(3) + 1])
    t.equal(log.hasEnded(a), false)
    log.keep(a, firstSeq(4), [DONE])
    t.match(reader, { ends: 1 })
  })

  t.test('nothing from elsewhere is taken for a run that is made here', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    log.keep(a, 1, [chunk('elsewhere')])
    log.open(a, 2)
    log.append(a, chunk('here'))
    log.keep(a, firstSeq(2) + 1, [chunk('2')])
    log.keep(a, firstSeq(3), [chunk('3')])
    t.match(log.entries(a), [{ seq: firstSeq(2), event: chunk('here') }])
    log.append(a, DONE)
    t.strictSame(log.entries(a).map(({ seq }) => seq), [firstSeq(2), firstSeq(2) + 1])
  })

  t.test('runs are awaited that are followed here, and neither made here nor at their end', async t => {
    const log = createLog(t)
    const [a, b, c] = nameRuns()
    t.strictSame(log.awaited(), [])
    const first = read(log, a)
    const second = read(log, a)
    log.append(b, chunk())
    read(log, b)
    read(log, c)
    t.strictSame(log.awaited(), [a, c])
    log.keep(c, 1, [chunk()])
    t.strictSame(log.awaited(), [a, c])
    log.keep(c, 2, [DONE])
    first.follower.stop()
    t.strictSame(log.awaited(), [a])
    second.follower.stop()
    t.strictSame(log.awaited(), [])
    t.equal(log.last(a), undefined)
  })

  t.test('a run from elsewhere is known for as long as it is followed, and when it has ended', async t => {
    const log = createLog(t)
    const [a, b] = nameRuns()
    for (const runId of [a, b]) {
      const { follower } = read(log, runId)
      log.keep(runId, 1, [chunk()])
      if (runId === b) log.keep(b, 2, [DONE])
      follower.stop()
    }
    t.strictSame([log.last(a), log.last(b)], [undefined, 2])
  })

  t.test('readers of a run that is let go are told where they were', async t => {
    const log = createLog(t)
    const [a, b] = nameRuns()
    log.open(a, 1)
    log.append(a, chunk())
    const here = read(log, a).reader
    const elsewhere = read(log, b).reader
    log.forget(a)
    log.forget(b)
    log.forget(b)
    t.match([here.lostAfter, elsewhere.lostAfter], [1, 0])
    t.strictSame([log.last(a), log.entries(a), log.awaited()], [undefined, [], []])
  })
}

/** Logs may share what they know: no run is another test's. */
function nameRuns (): [string, string, string] {
  return [randomUUID(), randomUUID(), randomUUID()]
}
