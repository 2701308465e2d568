import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import { encodeSse } from '#shared/http/sse.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { responseOf } from '#shared/trace.ts'
import { frameOf } from '../../../src/executor/events/event-log.js'
import { follow } from '../../../src/executor/events/follow.js'
import { MemoryEventLog } from '../../../src/executor/events/memory-event-log.js'
import { toTextFrame } from '../../../src/http/bytes.js'
import { encodeSocket } from '../../../src/http/websocket/encode.js'
import { chunk, DONE, read, testEventLog } from './event-log-contract.js'
import { often } from '../../support/scope.js'

const MINUTE = 60_000

function createLog (t: Test, { maxBytes = 1024 * 1024, keepMs = MINUTE } = {}): MemoryEventLog {
  const log = new MemoryEventLog({ maxBytes, keepMs })
  t.teardown(() => log.close())
  return log
}

t.test('the log of one process', t => testEventLog(t, createLog, 1000))

t.test('an event is encoded once per format for all readers', async t => {
  const log = createLog(t)
  let encoded = 0
  const encode = (seq: number, event: RunEvent, runId: string) => {
    encoded++
    return encodeSocket(seq, event, runId)
  }
  const frames: string[] = []
  for (let i = 0; i < 3; i++) {
    follow(log, 'a', 0, { write: entry => frames.push(String(frameOf(entry, encode, 'a')), String(frameOf(entry, encodeSse, 'a'))) > 0, end () {}, moved () {} })
  }
  log.append('a', chunk('1'))
  log.append('a', chunk('2'))
  t.equal(encoded, 2)
  t.equal(frames.length, 12)
  t.strictSame(new Set(frames), new Set([
    String(toTextFrame('{"type":"agent_chunk","content":"1","runId":"a","seq":1}')), 'id: 1\ndata: {"type":"chunk","content":"1"}\n\n',
    String(toTextFrame('{"type":"agent_chunk","content":"2","runId":"a","seq":2}')), 'id: 2\ndata: {"type":"chunk","content":"2"}\n\n'
  ]))
})

t.test('beyond maxBytes ended runs are evicted, in the order of their ends', async t => {
  const log = createLog(t, { maxBytes: 15_000 })
  const known = () => ['a', 'b', 'c', 'd', 'e', 'f'].filter(runId => log.last(runId)).join('')
  for (const runId of ['a', 'b', 'c', 'd']) log.append(runId, chunk('x'.repeat(1000)))
  for (const runId of ['c', 'b']) log.append(runId, DONE)
  t.equal(known(), 'abcd', 'below it nothing is evicted')
  log.append('e', chunk('x'.repeat(1000)))
  log.append('e', DONE)
  t.equal(known(), 'abde')
  log.append('f', { ...DONE, response: 'x'.repeat(5000) })
  t.equal(known(), 'ad', 'an unfinished run is never evicted')
  t.equal(log.next('b', 0), undefined)
  log.append('b', chunk())
  t.equal(log.last('b'), 1, 'an evicted run may be recorded again')
})

t.test('a reader that is behind an evicted run is told where to resume', async t => {
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

t.test('an ended run is evicted after keepMs', async t => {
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

t.test('an idle log evicts as well', async t => {
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
  t.ok(every >= 1000 && every <= MINUTE, 'the interval is shorter than keepMs')
})

t.test('the text after an event has neither reasoning nor rewound text', async t => {
  const text = fc.string({ unit: fc.constantFrom('a', 'é', '語', '😀'), minLength: 1, maxLength: 5 })
  const event = fc.oneof(
    { weight: 6, arbitrary: text.map((content): RunEvent => ({ type: 'chunk', content })) },
    { weight: 2, arbitrary: text.map((content): RunEvent => ({ type: 'reasoning', content })) },
    { weight: 1, arbitrary: fc.constant<RunEvent>({ type: 'step', step: 2 }) },
    { weight: 1, arbitrary: fc.nat({ max: 12 }).map((to): RunEvent => ({ type: 'rewind', to })) }
  )
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(event, { maxLength: 12 }), fc.nat({ max: 13 }), fc.constantFrom(1, 2), (events, after, attempt) => {
    const log = new MemoryEventLog({ maxBytes: 1e6, keepMs: MINUTE })
    const first = firstSeq(attempt)
    log.open('a', attempt)
    for (const event of events) log.append('a', event.type === 'rewind' ? { type: 'rewind', to: first - 1 + event.to } : event)
    assert.equal(log.textAfter('a'), responseOf(log.entries('a')))
    assert.equal(log.textAfter('a', first - 1 + after), responseOf(log.entries('a', first - 1 + after)))
    assert.equal(log.textAfter('another'), '')
    log.close()
  }), { numRuns: often(1000) }))
})

t.test('a log built on this one may keep ended runs for now, and learns of each eviction', async t => {
  const kept = new Set(['a'])
  const evicted: string[] = []
  const log = new MemoryEventLog({ maxBytes: 0, keepMs: MINUTE }, { mayEvict: runId => !kept.has(runId), onEvict: runId => { evicted.push(runId) } })
  t.teardown(() => log.close())
  for (const runId of ['a', 'b', 'c']) log.append(runId, DONE)
  t.strictSame([evicted, log.last('a')], [['b', 'c'], 1])
  kept.clear()
  log.append('d', DONE)
  t.strictSame(evicted, ['b', 'c', 'a', 'd'])
  const { follower } = read(log, 'remote')
  follower.stop()
  log.append('e', chunk())
  log.evict('e')
  log.evict('e')
  t.strictSame(evicted.slice(4), ['remote', 'e'], 'also without its last reader, and by request')
})
