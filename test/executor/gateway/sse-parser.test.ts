import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { SseParser } from '../../../src/executor/gateway/sse-parser.js'
import { often } from '../../support/scope.js'

const MIB = 1024 * 1024

/** Parses a stream that arrives in these pieces. */
function parse (...pieces: Array<string | Uint8Array>): string[] {
  const events: string[] = []
  const parser = new SseParser({ onData: data => { events.push(data) } })
  for (const piece of pieces) parser.push(Buffer.from(piece))
  parser.end()
  return events
}

function cutAt (bytes: Buffer, positions: number[]): Buffer[] {
  const cuts = [0, ...positions.map(position => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return cuts.slice(1).map((cut, index) => bytes.subarray(cuts[index], cut))
}

/** A simple reference implementation for a whole stream. */
function readLines (bytes: Buffer): string[] {
  const events: string[] = []
  let data: string[] = []
  const lines = bytes.toString().replace(/^\ufeff/, '').split(/\r\n|\n|\r/)
  for (const line of [...lines, '']) {
    const [name, ...rest] = line.split(':')
    if (name === 'data') data.push(rest.join(':').replace(/^ /, ''))
    if (line === '' && data.length > 0) events.push(data.join('\n'))
    if (line === '') data = []
  }
  return events
}

const lineEnd = fc.constantFrom('\n', '\r', '\r\n')
const value = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: fc.constantFrom('a', ' ', ':', 'é', '€', '漢', '😀', '👩‍👩‍👧', '\ufeff', '\0', '\u2028', '\u0085') })
).map(text => text.replace(/[\r\n]/g, ''))
const line = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom('data: ', 'data:', 'data'), value).map(parts => parts.join('')) },
  { weight: 3, arbitrary: fc.constant('') },
  fc.tuple(fc.constantFrom(':', 'id: ', 'event:', 'retry: ', 'dat', 'database: '), value).map(parts => parts.join('')),
  value
)
const streamOf = (end: fc.Arbitrary<string>) => fc.tuple(fc.boolean(), fc.array(fc.tuple(line, end), { maxLength: 30 }), line)
  .map(([bom, lines, last]) => Buffer.from((bom ? '\ufeff' : '') + lines.flat().join('') + last))
const stream = streamOf(lineEnd)
const RUNS = { numRuns: often(2000) }

t.test('the events of a stream do not depend on how its bytes are split', async t => {
  const cuts = fc.array(fc.nat(), { maxLength: 40 })
  t.doesNotThrow(() => fc.assert(fc.property(stream, cuts, (bytes, positions) =>
    assert.deepEqual(parse(...cutAt(bytes, positions)), parse(bytes))), RUNS))
})

t.test('a stream yields the same events byte by byte', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(stream, bytes =>
    assert.deepEqual(parse(...[...bytes].map(byte => Buffer.of(byte))), parse(bytes))), RUNS))
})

t.test('a stream is read line by line, with any mixture of line ends', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(stream, bytes => assert.deepEqual(parse(bytes), readLines(bytes))), RUNS))
})

t.test('the examples of the WHATWG standard', async t => {
  t.strictSame(parse('data: YHOO\ndata: +2\ndata: 10\n\n'), ['YHOO\n+2\n10'], 'lines of an event are joined by LF')
  t.strictSame(parse(': test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n'),
    ['first event', 'second event', ' third event'], 'one space after the colon is not part of the value')
  t.strictSame(parse('data\n\ndata\ndata\n\n'), ['', '\n'], 'a field without a colon has an empty value')
  t.strictSame(parse('data:test\n\ndata: test\n\n'), ['test', 'test'])
})

t.test('the rules of the WHATWG standard', async t => {
  t.strictSame(parse('\ufeffdata: a\n\n'), ['a'], 'one leading byte order mark is ignored')
  t.strictSame(parse('\ufeff\ufeffdata: a\n\ndata: b\n\n'), ['b'], 'a second one belongs to the field name')
  t.strictSame(parse('data: \ufeffa\n\n'), ['\ufeffa'], 'one within a value is kept')
  t.strictSame(parse('Data: a\ndatab: b\n data: c\nevent: data: d\n\n'), [], 'field names are compared exactly')
  t.strictSame(parse('data: a:b: c\n\n'), ['a:b: c'], 'only the first colon counts')
  t.strictSame(parse('event: x\nid: 1\nretry: 5\n\n\n\n'), [], 'an event without data is not dispatched')
  t.strictSame(parse('data: a\r\rdata: b\r\n\r\ndata: c\n\ndata: d\n\r\ndata: e\r\n\n'), ['a', 'b', 'c', 'd', 'e'])
  t.strictSame(parse('data: a\u2028b\u0085c\vd\n\n'), ['a\u2028b\u0085c\vd'], 'no other character ends a line')
  t.strictSame(parse(Buffer.from([...Buffer.from('data: '), 0xff, 0x61, 0xe2, 0x82, 0x0a, 0x0a])), ['\ufffda\ufffd'],
    'invalid UTF-8 becomes U+FFFD')
})

t.test('an event is dispatched as soon as it is complete', async t => {
  const events: string[] = []
  const parser = new SseParser({ onData: data => { events.push(data) } })
  const eventsAfter = (text: string) => {
    parser.push(Buffer.from(text))
    return events.splice(0)
  }
  t.strictSame(eventsAfter('data: a\n'), [])
  t.strictSame(eventsAfter('\n'), ['a'])
  t.strictSame(eventsAfter('data: b\r\r'), ['b'], 'a CR does not wait for a LF that may follow')
  t.strictSame(eventsAfter('\ndata: c\n\ndata: d\n\ndata'), ['c', 'd'], 'several in one read')
  t.strictSame(eventsAfter(': e'), [])
  parser.push(Buffer.alloc(0))
  parser.end()
  t.strictSame(events, ['e'])
})

t.test('at the end of the stream', async t => {
  t.strictSame(parse('data: a\n\ndata: [DONE]\n'), ['a', '[DONE]'], 'a complete event needs no blank line')
  t.strictSame(parse('data: a\n\ndata: [DONE]'), ['a', '[DONE]'], 'nor a line end')
  t.strictSame(parse('data: a\n\nid: 7\n: bye'), ['a'], 'without data there is no event')
  t.strictSame(parse('data: a\n\ndat'), ['a'], 'an incomplete field name is ignored')
  t.strictSame(parse(), [])
  t.strictSame(parse(Buffer.from([...Buffer.from('data: a'), 0xf0, 0x9f])), ['a\ufffd'], 'a character cut short is U+FFFD')
})

t.test('an event of 16 MiB is accepted, and a longer one is an error', async t => {
  const piece = Buffer.alloc(MIB, 'x')
  const sizes: number[] = []
  const parser = new SseParser({ onData: data => { sizes.push(data.length) } })
  const push = (count: number) => {
    for (let i = 0; i < count; i++) parser.push(piece)
  }
  parser.push(Buffer.from('data:'))
  push(15)
  parser.push(Buffer.from('\n\ndata:'))
  push(15)
  parser.push(Buffer.from('\ndata:'))
  t.strictSame(sizes, [15 * MIB], 'the limit applies to an event, not to the stream')
  t.throws(() => push(1), RangeError, 'all lines of an event count')
  t.throws(() => {
    const other = new SseParser({ onData () {} })
    for (let i = 0; i < 17; i++) other.push(piece)
  }, RangeError, 'an incomplete line of any field counts')
})
