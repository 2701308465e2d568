import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import type { Test } from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { NO_USAGE } from '#shared/usage.ts'
import type { Entry, EventLog } from '../../../src/executor/events/event-log.js'
import { follow, type Follower, type Reader } from '../../../src/executor/events/follow.js'

const CANCELLED: RunEvent = { type: 'cancelled', runId: 'a', creditsUsed: 0 }
const FAILED: RunEvent = { type: 'error', error: 'It failed.', code: 'internal_error', runId: 'a', retryable: false }
export const DONE: Extract<RunEvent, { type: 'done' }> = { type: 'done', response: '', executionTime: 1, runId: 'a', usage: NO_USAGE, creditsUsed: 1, finishReason: 'stop' }

export function chunk (content = 'x'): RunEvent {
  return { type: 'chunk', content }
}

/** A reader with room for `room` entries. */
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

  moved (after: number): void {
    this.lostAfter = after
    this.#move()
  }

  /** Waits until a condition on the reader holds. */
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
 * Tests what every event log does within its process.
 * @param numRuns the number of random histories per property.
 */
export async function testEventLog (t: Test, createLog: (t: Test) => EventLog, numRuns: number): Promise<void> {
  t.test('the events of each run are numbered from 1', async t => {
    const log = createLog(t)
    const [a, b, c] = nameRuns()
    t.equal(log.last(a), undefined)
    t.strictSame([log.append(a, chunk('1')).seq, log.append(a, chunk('2')).seq, log.append(b, chunk('1')).seq], [1, 2, 1])
    t.strictSame([log.last(a), log.last(b)], [2, 1])
    t.match(log.next(a, 1), { seq: 2, event: chunk('2') })
    t.equal(log.next(a, 2), undefined)
    t.equal(log.next(c, 0), undefined)
  })

  t.test('a reader gets the backlog after its cursor, then live events, and the end once', async t => {
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
      t.match(read(log, a, 2).reader, { seqs: [3, 4], contents: ['3'], ends: 1 }, 'a later reader gets everything at once')
    }
  })

  t.test('events are replayed unchanged from any cursor', async t => {
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
      log.evict(a)
    }), { numRuns }))
  })

  t.test('a reader may subscribe before the run begins', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.append(a, chunk('1'))
    t.strictSame(reader.contents, ['1'])
  })

  t.test('a full reader gets nothing until it has room, and loses nothing', async t => {
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
    t.equal(reader.ends, 1, 'the end is delivered although the last event has filled the reader')
  })

  t.test('a stopped reader gets nothing more, even if it stops within write', async t => {
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
      end () { t.fail('a stopped reader gets the end') },
      moved () {}
    })
    log.append(a, chunk('3'))
    log.append(a, DONE)
    t.strictSame(seqs, [3])
  })

  t.test('readers at any cursor and of any speed get the same events: no gap, no repetition, one end', async t => {
    const log = createLog(t)
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.constant({ kind: 'append' } as const) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const), after: fc.nat(12), room: fc.nat({ max: 5 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('resume' as const), who: fc.nat(), room: fc.nat({ max: 5 }) }) },
      { arbitrary: fc.record({ kind: fc.constant('stop' as const), who: fc.nat() }), weight: 1 }
    )
    t.doesNotThrow(() => fc.assert(fc.property(fc.array(operation, { maxLength: 60 }), operations => {
      const [a] = nameRuns()
      // The run has at least as many events as the highest cursor, and ends after the operations.
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
          if (reader.room > 0 && !stopped) assert.ok(follower.cursor >= (log.last(a) ?? 0), 'a reader with room is up to date')
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
      log.evict(a)
    }), { numRuns }))
  })

  t.test('the numbers of a later attempt are beyond those of an earlier one', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a, 57)
    t.strictSame(log.remoteRuns(), [a])
    log.open(a, 2)
    t.equal(log.append(a, chunk('1')).seq, 1_000_000_001)
    t.equal(log.append(a, chunk('2')).seq, 1_000_000_002)
    t.strictSame(log.remoteRuns(), [])
    t.strictSame(reader.seqs, [1_000_000_001, 1_000_000_002])
    t.strictSame(read(log, a, 1_000_000_001).reader.contents, ['2'])
    t.strictSame(read(log, a).reader.contents, ['1', '2'])
  })

  t.test('a reader that has read the last event of an ended run gets the end', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    log.append(a, chunk('1'))
    log.append(a, DONE)
    t.match(read(log, a, 2).reader, { seqs: [], ends: 1 })
  })

  t.test('ingested events are added, except for known ones', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.ingest(a, 1, [chunk('1'), chunk('2')])
    log.ingest(a, 1, [chunk('1')])
    log.ingest(a, 2, [chunk('2'), chunk('3')])
    log.ingest(a, 4, [])
    log.ingest(a, 4, [DONE])
    log.ingest(a, 1, [chunk('1'), chunk('2'), chunk('3'), DONE])
    t.match(reader, { seqs: [1, 2, 3, 4], contents: ['1', '2', '3'], ends: 1 })
    t.equal(log.hasEnded(a), true)
    t.equal(log.last(a), 4)
  })

  t.test('ingested events that would leave a gap are ignored', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.ingest(a, 2, [chunk('2')])
    t.equal(log.last(a), undefined)
    log.ingest(a, 1, [chunk('1')])
    log.ingest(a, 3, [chunk('3'), DONE])
    t.strictSame(reader.seqs, [1])
    t.equal(log.hasEnded(a), false)
    log.ingest(a, 2, [chunk('2')])
    log.ingest(a, 3, [chunk('3')])
    t.strictSame(reader.contents, ['1', '2', '3'])
  })

  t.test('a later attempt replaces an earlier one, whose events are ignored from then on', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    const { reader } = read(log, a)
    log.ingest(a, 1, [chunk('1'), chunk('2')])
    log.ingest(a, firstSeq(3), [chunk('3.1')])
    t.strictSame(log.entries(a).map(({ seq }) => seq), [firstSeq(3)])
    log.ingest(a, 3, [chunk('3')])
    log.ingest(a, firstSeq(2), [chunk('2.1'), DONE])
    log.ingest(a, firstSeq(3) + 1, [chunk('3.2')])
    t.strictSame(reader.contents, ['1', '2', '3.1', '3.2'])
    t.strictSame(reader.seqs, [1, 2, firstSeq(3), firstSeq(3) + 1])
    t.equal(log.hasEnded(a), false)
    log.ingest(a, firstSeq(4), [DONE])
    t.match(reader, { ends: 1 })
  })

  t.test('nothing is ingested for a run that this process executes', async t => {
    const log = createLog(t)
    const [a] = nameRuns()
    log.ingest(a, 1, [chunk('remote')])
    log.open(a, 2)
    log.append(a, chunk('here'))
    log.ingest(a, firstSeq(2) + 1, [chunk('2')])
    log.ingest(a, firstSeq(3), [chunk('3')])
    t.match(log.entries(a), [{ seq: firstSeq(2), event: chunk('here') }])
    log.append(a, DONE)
    t.strictSame(log.entries(a).map(({ seq }) => seq), [firstSeq(2), firstSeq(2) + 1])
  })

  t.test('remote runs are those with subscribers that neither are executed here nor have ended', async t => {
    const log = createLog(t)
    const [a, b, c] = nameRuns()
    t.strictSame(log.remoteRuns(), [])
    const first = read(log, a)
    const second = read(log, a)
    log.append(b, chunk())
    read(log, b)
    read(log, c)
    t.strictSame(log.remoteRuns(), [a, c])
    log.ingest(c, 1, [chunk()])
    t.strictSame(log.remoteRuns(), [a, c])
    log.ingest(c, 2, [DONE])
    first.follower.stop()
    t.strictSame(log.remoteRuns(), [a])
    second.follower.stop()
    t.strictSame(log.remoteRuns(), [])
    t.equal(log.last(a), undefined)
  })

  t.test('an ingested run is kept while it has subscribers, and after its end', async t => {
    const log = createLog(t)
    const [a, b] = nameRuns()
    for (const runId of [a, b]) {
      const { follower } = read(log, runId)
      log.ingest(runId, 1, [chunk()])
      if (runId === b) log.ingest(b, 2, [DONE])
      follower.stop()
    }
    t.strictSame([log.last(a), log.last(b)], [undefined, 2])
  })

  t.test('readers of an evicted run are told their position', async t => {
    const log = createLog(t)
    const [a, b] = nameRuns()
    log.open(a, 1)
    log.append(a, chunk())
    const here = read(log, a).reader
    const remote = read(log, b).reader
    log.evict(a)
    log.evict(b)
    log.evict(b)
    t.match([here.lostAfter, remote.lostAfter], [1, 0])
    t.strictSame([log.last(a), log.entries(a), log.remoteRuns()], [undefined, [], []])
  })
}

/** Logs may share their runs through Redis, so each test has runs of its own. */
function nameRuns (): [string, string, string] {
  return [randomUUID(), randomUUID(), randomUUID()]
}
