import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { follow, frameOf, MemoryEventLog, type Entry, type EventLog, type Reader } from '../src/executor/event-log.js'
import { NO_USAGE } from '../src/executor/usage.js'
import type { RunEvent } from '../src/schemas.js'
import { encodeSocket } from '../src/streams/socket.js'
import { encodeSse } from '../src/streams/sse.js'

const MINUTE = 60_000
const CANCELLED: RunEvent = { type: 'cancelled', runId: 'a', creditsUsed: 0 }
const FAILED: RunEvent = { type: 'error', error: 'It failed.', code: 'internal_error', runId: 'a', retryable: false }
const DONE: RunEvent = { type: 'done', response: '', executionTime: 1, runId: 'a', usage: NO_USAGE, creditsUsed: 1, finishReason: 'stop' }

function chunk (content = 'x'): RunEvent {
  return { type: 'chunk', content }
}

function createLog (t: Test, { maxBytes = 1024 * 1024, keepMs = MINUTE } = {}): MemoryEventLog {
  const log = new MemoryEventLog({ maxBytes, keepMs })
  t.teardown(() => log.close())
  return log
}

/** A reader with room for so many entries. */
class TestReader implements Reader {
  seqs: number[] = []
  contents: string[] = []
  ends = 0
  lostAfter?: number

  constructor (public room = Infinity) {}

  write ({ seq, event }: Entry): boolean {
    assert.ok(this.room > 0, 'nothing is written to a full reader')
    assert.equal(this.ends, 0, 'nothing is written after the end')
    this.seqs.push(seq)
    if (event.type === 'chunk') this.contents.push(event.content)
    return --this.room > 0
  }

  end (): void { this.ends++ }
  lost (after: number): void { this.lostAfter = after }
}

function read (log: EventLog, runId: string, after = 0, room = Infinity) {
  const reader = new TestReader(room)
  return { reader, follower: follow(log, runId, after, reader) }
}

t.test('a run\'s events are numbered from 1, each run by itself', async t => {
  const log = createLog(t)
  t.equal(log.last('a'), undefined)
  t.strictSame([log.append('a', chunk('1')).seq, log.append('a', chunk('2')).seq, log.append('b', chunk('1')).seq], [1, 2, 1])
  t.strictSame([log.last('a'), log.last('b')], [2, 1])
  t.match(log.next('a', 1), { seq: 2, event: chunk('2') })
  t.equal(log.next('a', 2), undefined)
  t.equal(log.next('c', 0), undefined)
})

t.test('a reader is told the backlog after its cursor, then what happens, and the end once', async t => {
  for (const last of [DONE, FAILED, CANCELLED]) {
    const log = createLog(t)
    log.append('a', chunk('1'))
    log.append('a', chunk('2'))
    const { reader, follower } = read(log, 'a', 1)
    t.strictSame(reader.contents, ['2'])
    t.equal(follower.cursor, 2)
    log.append('b', chunk('another run\'s'))
    log.append('a', chunk('3'))
    t.strictSame(reader.contents, ['2', '3'])
    t.equal(reader.ends, 0)
    log.append('a', last)
    t.strictSame(reader.seqs, [2, 3, 4])
    follower.resume()
    t.equal(reader.ends, 1, last.type)
    t.match(read(log, 'a', 2).reader, { seqs: [3, 4], contents: ['3'], ends: 1 }, 'and a later reader all of it at once')
  }
})

t.test('a reader may come before the run', async t => {
  const log = createLog(t)
  const { reader } = read(log, 'a')
  log.append('a', chunk('1'))
  t.strictSame(reader.contents, ['1'])
})

t.test('a full reader gets nothing until it has room, and nothing is lost or kept for it', async t => {
  const log = createLog(t)
  const { reader, follower } = read(log, 'a', 0, 2)
  for (const content of ['1', '2', '3', '4', '5']) log.append('a', chunk(content))
  t.strictSame(reader.contents, ['1', '2'])
  reader.room = 1
  follower.resume()
  t.strictSame(reader.contents, ['1', '2', '3'])
  t.equal(follower.cursor, 3)
  log.append('a', DONE)
  t.equal(reader.ends, 0)
  reader.room = 3
  follower.resume()
  t.strictSame(reader.seqs, [1, 2, 3, 4, 5, 6])
  t.equal(reader.ends, 1, 'a last event that fills the reader ends it all the same')
})

t.test('a reader that was stopped gets nothing more, not even when it is stopped while it reads', async t => {
  const log = createLog(t)
  const { reader, follower } = read(log, 'a')
  log.append('a', chunk('1'))
  follower.stop()
  follower.stop()
  log.append('a', chunk('2'))
  follower.resume()
  t.strictSame(reader.contents, ['1'])

  const seqs: number[] = []
  const leaving = follow(log, 'a', 2, {
    write ({ seq }) {
      seqs.push(seq)
      leaving.stop()
      return true
    },
    end () { t.fail('the end is told to a reader that is gone') },
    lost () {}
  })
  log.append('a', chunk('3'))
  log.append('a', DONE)
  t.strictSame(seqs, [3])
})

t.test('readers at any cursor, however slow, agree on the run: no gap, no repetition, one end', async t => {
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ kind: 'append' } as const) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const), after: fc.nat(12), room: fc.nat({ max: 5 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('resume' as const), who: fc.nat(), room: fc.nat({ max: 5 }) }) },
    { arbitrary: fc.record({ kind: fc.constant('stop' as const), who: fc.nat() }), weight: 1 }
  )
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(operation, { maxLength: 60 }), operations => {
    const log = new MemoryEventLog({ maxBytes: 1e6, keepMs: MINUTE })
    // The run itself is told as long as somebody appends; it ends with the operations.
    const total = Math.max(13, operations.filter(({ kind }) => kind === 'append').length + 1)
    const readers: Array<ReturnType<typeof read> & { after: number, stopped: boolean }> = []
    for (const operation of operations) {
      const chosen = 'who' in operation ? readers[operation.who % readers.length] : undefined
      if (operation.kind === 'append') log.append('a', chunk())
      if (operation.kind === 'join') readers.push({ ...read(log, 'a', operation.after, operation.room + 1), after: operation.after, stopped: false })
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
        if (reader.room > 0 && !stopped) assert.ok(follower.cursor >= (log.last('a') ?? 0), 'who has room is up to date')
      }
    }
    while ((log.last('a') ?? 0) < total - 1) log.append('a', chunk())
    log.append('a', DONE)
    for (const { reader, follower, after, stopped } of readers) {
      const heard = reader.seqs.length
      reader.room = Infinity
      follower.resume()
      assert.equal(reader.seqs.length, stopped ? heard : total - after)
      assert.equal(reader.ends, stopped ? 0 : 1)
    }
    log.close()
  }), { numRuns: 1000 }))
})

t.test('an event is encoded once in each format for all its readers', async t => {
  const log = createLog(t)
  let encoded = 0
  const encode = (seq: number, event: RunEvent, runId: string) => {
    encoded++
    return encodeSocket(seq, event, runId)
  }
  const frames: string[] = []
  for (let i = 0; i < 3; i++) {
    follow(log, 'a', 0, { write: entry => frames.push(String(frameOf(entry, encode, 'a')), String(frameOf(entry, encodeSse, 'a'))) > 0, end () {}, lost () {} })
  }
  log.append('a', chunk('1'))
  log.append('a', chunk('2'))
  t.equal(encoded, 2)
  t.equal(frames.length, 12)
  t.strictSame(new Set(frames), new Set([
    '{"type":"agent_chunk","content":"1","runId":"a","seq":1}', 'id: 1\ndata: {"type":"chunk","content":"1"}\n\n',
    '{"type":"agent_chunk","content":"2","runId":"a","seq":2}', 'id: 2\ndata: {"type":"chunk","content":"2"}\n\n'
  ]))
})

t.test('beyond the byte bound finished runs are forgotten, in the order they ended', async t => {
  const log = createLog(t, { maxBytes: 20_000 })
  const known = () => ['a', 'b', 'c', 'd', 'e', 'f'].filter(runId => log.last(runId)).join('')
  for (const runId of ['a', 'b', 'c', 'd']) log.append(runId, chunk('x'.repeat(1000)))
  for (const runId of ['c', 'b']) log.append(runId, DONE)
  t.equal(known(), 'abcd', 'below it nothing is forgotten')
  log.append('e', chunk('x'.repeat(1000)))
  log.append('e', DONE)
  t.equal(known(), 'abde')
  log.append('f', { ...DONE, response: 'x'.repeat(5000) })
  t.equal(known(), 'ad', 'a run that is under way is never forgotten')
  t.equal(log.next('b', 0), undefined)
  log.append('b', chunk())
  t.equal(log.last('b'), 1, 'a forgotten run may be told anew')
})

t.test('a reader that is behind a run that has to go is told where to resume', async t => {
  const log = createLog(t, { maxBytes: 1000 })
  const { reader, follower } = read(log, 'a', 0, 1)
  log.append('a', chunk('x'.repeat(1000)))
  log.append('a', DONE)
  t.equal(log.last('a'), undefined)
  t.match(reader, { seqs: [1], lostAfter: 1, ends: 0 })
  reader.room = Infinity
  follower.resume()
  t.match(reader, { seqs: [1], ends: 0 }, 'and then nothing more')
})

t.test('a later attempt is numbered beyond all that an earlier one can have said', async t => {
  const log = createLog(t)
  const { reader } = read(log, 'a', 57)
  t.strictSame(log.awaited(), ['a'])
  log.open('a', 2)
  t.equal(log.append('a', chunk('1')).seq, 1_000_000_001)
  t.equal(log.append('a', chunk('2')).seq, 1_000_000_002)
  t.strictSame(log.awaited(), [])
  t.strictSame(reader.seqs, [1_000_000_001, 1_000_000_002])
  t.strictSame(read(log, 'a', 1_000_000_001).reader.contents, ['2'])
  t.strictSame(read(log, 'a').reader.contents, ['1', '2'])
})

t.test('who has had the last event of a finished run is told that there is no more', async t => {
  const log = createLog(t)
  log.append('a', chunk('1'))
  log.append('a', DONE)
  t.match(read(log, 'a', 2).reader, { seqs: [], ends: 1 })
})

t.test('after its time a finished run is forgotten', async t => {
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const log = createLog(t, { keepMs: MINUTE })
  log.append('a', DONE)
  now += MINUTE - 1
  log.append('b', DONE)
  t.strictSame([log.last('a'), log.last('b')], [1, 1])
  now += 1
  log.append('c', DONE)
  t.strictSame([log.last('a'), log.last('b'), log.last('c')], [undefined, 1, 1])
})

t.test('a quiet service forgets as well', async t => {
  let sweep = () => {}
  let every = 0
  const calls = t.intercept(globalThis, 'setInterval', {
    value: (callback: () => void, ms: number) => {
      sweep = callback
      every = ms
      return { unref () { return this } }
    }
  })
  let now = Date.now()
  t.intercept(Date, 'now', { value: () => now })
  const log = new MemoryEventLog({ maxBytes: 1e6, keepMs: MINUTE })
  calls.restore()
  log.append('a', DONE)
  sweep()
  t.equal(log.last('a'), 1)
  now += MINUTE
  sweep()
  t.equal(log.last('a'), undefined)
  t.ok(every >= 1000 && every <= MINUTE, 'within its time again')
})
