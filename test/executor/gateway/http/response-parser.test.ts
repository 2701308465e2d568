import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { HttpParseError, type ResponseHead } from '../../../../src/executor/gateway/http/response-head.js'
import { ResponseParser } from '../../../../src/executor/gateway/http/response-parser.js'
import { often } from '../../../support/scope.js'

const RUNS = { numRuns: often(1000) }

/** What a reader received, and the final state of the parser. */
interface Read { heads: ResponseHead[], body: string, isDone: boolean, isPersistent: boolean, idleMs: number, mayEnd: boolean, error?: string }

/** Parses these pieces, all from the same block of memory, like the reads of a socket. */
function read (...pieces: Buffer[]): Read {
  const heads: ResponseHead[] = []
  let body = ''
  let error: string | undefined
  const block = Buffer.alloc(Math.max(...pieces.map(piece => piece.length)))
  const parser = new ResponseParser({
    onHead (head) { heads.push(structuredClone(head)) },
    onBody (bytes, text, from, to) {
      assert.ok(from < to && to <= bytes.length, 'a part is never empty')
      assert.equal(bytes.toString('latin1', from, to), text.slice(from, to))
      body += text.slice(from, to)
    }
  })
  try {
    for (const piece of pieces) parser.push(block.subarray(0, piece.copy(block)))
  } catch (thrown) {
    if (!(thrown instanceof HttpParseError)) throw thrown
    error = thrown.message
  }
  const { isDone, isPersistent, idleMs } = parser
  return { heads, body, isDone, isPersistent, idleMs, mayEnd: parser.end(), error }
}

function cutAt (bytes: Buffer, positions: number[]): Buffer[] {
  const cuts = [0, ...positions.map(position => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return cuts.slice(1).map((cut, index) => bytes.subarray(cuts[index], cut))
}

const bytewise = (bytes: Buffer) => [...bytes].map(byte => Buffer.of(byte))
const respond = (text: string) => read(Buffer.from(text, 'latin1'))

const textOf = (...characters: string[]) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 12 })
const blank = textOf(' ', '\t').map(text => text.slice(0, 3))
const value = textOf('a', 'B', '7', ',', ':', ';', '=', '"', '\xe9').map(text => text && `v${text}`)
const header = fc.tuple(fc.constantFrom('X-A', 'x-b', 'Retry-After', 'content-type', '__proto__'), blank, value, blank)
const body = fc.oneof(fc.uint8Array({ maxLength: 80 }), fc.constantFrom('0\r\n\r\n', '\r\n\r\nHTTP/1.1 200 OK\r\n').map(text => Buffer.from(text)))
  .map(bytes => Buffer.from(bytes).toString('latin1'))
const extension = fc.constantFrom('', ';', ';a', ';a=b', ' ;a="x;y"', '; a=\xe9', ' ')
const trailers = fc.array(fc.constantFrom('x-sum: 1', 'Server-Timing: a;dur=3', 'content-length: 3'), { maxLength: 2 })
const framing = fc.oneof(
  fc.record({ how: fc.constant('chunked' as const), sizes: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), extension, trailers, zeros: fc.nat(6), isUpper: fc.boolean() }),
  fc.record({ how: fc.constant('length' as const) }),
  fc.record({ how: fc.constant('close' as const) })
)
type Framing = typeof framing extends fc.Arbitrary<infer T> ? T : never

function chunk (text: string, framing: Framing & { how: 'chunked' }): string {
  let [wire, at, index] = ['', 0, 0]
  while (at < text.length) {
    const part = text.slice(at, at += framing.sizes[index++ % framing.sizes.length]!)
    const size = '0'.repeat(framing.zeros) + part.length.toString(16)
    wire += `${framing.isUpper ? size.toUpperCase() : size}${framing.extension}\r\n${part}\r\n`
  }
  return `${wire}0${framing.extension}\r\n${framing.trailers.map(line => `${line}\r\n`).join('')}\r\n`
}

function encode (text: string, framing: Framing): [header: string, wire: string] {
  if (framing.how === 'chunked') return ['Transfer-Encoding: Chunked\r\n', chunk(text, framing)]
  return framing.how === 'length' ? [`Content-Length: ${text.length}\r\n`, text] : ['', text]
}

/** The bytes of a response, and the expected result. */
const response = fc.record({
  interim: fc.array(fc.constantFrom('HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-a: early\r\n\r\n'), { maxLength: 2 }),
  status: fc.constantFrom(200, 201, 400, 413, 429, 503),
  reason: fc.constantFrom('', ' ', ' OK', ' Not \xe9 that'),
  headers: fc.array(header, { maxLength: 4 }),
  connection: fc.constantFrom(undefined, 'close', 'Keep-Alive', 'x-closed', 'foo, Close'),
  seconds: fc.option(fc.nat(20), { nil: undefined }),
  body,
  framing
}).map(({ interim, status, reason, headers, connection, seconds, body, framing }) => {
  const [length, wire] = encode(body, framing)
  const lines = headers.map(([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`).join('') +
    (connection === undefined ? '' : `Connection: ${connection}\r\n`) + (seconds === undefined ? '' : `Keep-Alive: timeout=${seconds}, max=9\r\n`)
  const expected: Record<string, string> = Object.create(null)
  for (const [name, , value] of headers) expected[name.toLowerCase()] = [expected[name.toLowerCase()], value].filter(known => known !== undefined).join(', ')
  return {
    bytes: Buffer.from(`${interim.join('')}HTTP/1.1 ${status}${reason}\r\n${lines}${length}\r\n${wire}`, 'latin1'),
    status,
    headers: expected,
    body,
    isDone: framing.how !== 'close',
    isPersistent: framing.how !== 'close' && !/^close|, close/i.test(connection ?? ''),
    idleMs: seconds === undefined ? Infinity : Math.max(0, seconds * 1000 - 1000)
  }
})

t.test('a response is parsed correctly however its bytes are split', async t => {
  const cuts = fc.array(fc.nat(), { maxLength: 30 })
  t.doesNotThrow(() => fc.assert(fc.property(response, cuts, ({ bytes, status, headers, body, isDone, isPersistent, idleMs }, positions) => {
    const whole = read(bytes)
    assert.deepEqual({ ...whole, heads: [] }, { heads: [], body, isDone, isPersistent, idleMs, mayEnd: true, error: undefined })
    assert.equal(whole.heads.length, 1)
    assert.equal(whole.heads[0]!.status, status)
    for (const [name, value] of Object.entries(headers)) assert.equal(whole.heads[0]!.headers[name], value)
    assert.deepEqual(read(...cutAt(bytes, positions)), whole)
    assert.deepEqual(read(...bytewise(bytes)), whole)
  }), RUNS))
})

t.test('a truncated response is incomplete, unless the connection\'s end is the body\'s end', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(response, fc.nat(), ({ bytes, isDone, body }, position) => {
    const cut = read(bytes.subarray(0, position % bytes.length))
    assert.equal(cut.error, undefined)
    assert.ok(body.startsWith(cut.body))
    if (isDone || cut.heads.length === 0) assert.equal(cut.isDone || cut.mayEnd, false)
    else assert.equal(cut.mayEnd, true)
  }), RUNS))
})

t.test('the result for malformed bytes, or their HttpParseError, does not depend on how they are split', async t => {
  const change = fc.tuple(fc.constantFrom('set', 'insert', 'drop'), fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 10, 13, 32, 48, 58, 102)))
  const cuts = fc.array(fc.nat(), { maxLength: 10 })
  let failures = 0
  t.doesNotThrow(() => fc.assert(fc.property(response, fc.array(change, { minLength: 1, maxLength: 4 }), cuts, ({ bytes }, changes, positions) => {
    const mutated = [...bytes]
    for (const [how, place, byte] of changes) mutated.splice(place % mutated.length, how === 'insert' ? 0 : 1, ...(how === 'drop' ? [] : [byte]))
    const whole = read(Buffer.from(mutated))
    if (whole.error) failures++
    const { error, ...state } = read(...cutAt(Buffer.from(mutated), positions))
    assert.equal(error !== undefined, whole.error !== undefined)
    assert.deepEqual({ ...state, error: whole.error }, whole)
  }), { numRuns: often(3000) }))
  t.ok(failures > 300, `${failures} of them were malformed`)
})

t.test('noise is an HttpParseError', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), bytes => {
    if (bytes[0] === 72) bytes[0] = 73
    assert.match(read(Buffer.from(bytes)).error!, /./)
    assert.match(read(...bytewise(Buffer.from(bytes))).error!, /./)
  }), RUNS))
})

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`

t.test('anything but HTTP/1.1 is refused as early as possible', async t => {
  const malformed: Array<[string, string]> = [
    ['another protocol', '220 mail.example.com ESMTP'], ['no protocol', 'AAAA'], ['TLS', '\x15\x03\x01\x00\x02\x02\x28'], ['HTTP/2', 'HTTP/2 200\r\n'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n'], ['a status of two digits', 'HTTP/1.1 20 OK\r\n'], ['no status', 'HTTP/1.1 OK\r\n'], ['a status of no class', 'HTTP/1.1 600 OK\r\n'],
    ['two spaces', 'HTTP/1.1  200 OK\r\n'], ['a status line that ends with LF', 'HTTP/1.1 200 OK\n'], ['an upgrade', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['a header that ends with LF', `${OK}a: b\n`], ['a header without a colon', `${OK}a\r\n\r\n`], ['a blank before the colon', `${OK}a : b\r\n\r\n`], ['a header without a name', `${OK}: b\r\n\r\n`],
    ['a header that goes on where none began', `${OK} a: b\r\n`], ['NUL in a header', `${OK}a: \0\r\n\r\n`], ['CR in a header', `${OK}a: b\rc: d\r\n\r\n`],
    ['a length that is none', `${OK}content-length: 5x\r\n\r\n`], ['a negative length', `${OK}content-length: -1\r\n\r\n`], ['an empty length', `${OK}content-length:\r\n\r\n`],
    ['two lengths', `${OK}content-length: 5\r\ncontent-length: 6\r\n\r\n`], ['a length beyond all', `${OK}content-length: 9999999999999999\r\n\r\n`],
    ['another coding', `${OK}transfer-encoding: gzip, chunked\r\n\r\n`], ['chunked twice', `${OK}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n`],
    ['no size', `${CHUNKED}\r\n`], ['a size that is none', `${CHUNKED}x`], ['a negative size', `${CHUNKED}-5\r\n`], ['0x', `${CHUNKED}0x5\r\n`], ['a size of nine digits', `${CHUNKED}000000005\r\n`],
    ['a size that ends with LF', `${CHUNKED}5\n`], ['something after the size', `${CHUNKED}5 x\r\n`], ['CR in an extension', `${CHUNKED}5;a\rb\r\n`],
    ['a chunk longer than its size', `${CHUNKED}1\r\nab`], ['a chunk that ends with LF', `${CHUNKED}1\r\na\n`], ['a chunk that ends with CR', `${CHUNKED}1\r\na\ra`],
    ['a trailer that is none', `${CHUNKED}0\r\na\r\n`], ['a trailer that ends with LF', `${CHUNKED}0\r\na: b\n`]
  ]
  for (const [name, text] of malformed) t.match(respond(text), { error: /./ }, name)
})

t.test('lines and heads have limits, alone and together', async t => {
  const long = (count: number) => 'x'.repeat(count)
  t.match(respond(`${OK}a: ${long(60_000)}\r\n\r\n`), { error: undefined, heads: [{ headers: { a: long(60_000) } }] })
  const endless: Array<[string, string]> = [
    ['a status line', `HTTP/1.1 200 ${long(5_000)}`], ['a header', `${OK}a: ${long(66_000)}`], ['headers', OK + `a: ${long(1_000)}\r\n`.repeat(66)],
    ['interim heads', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(3_000)], ['an extension', `${CHUNKED}5;${long(5_000)}`], ['a size', `${CHUNKED}5${' '.repeat(5_000)}`],
    ['trailers', `${CHUNKED}0\r\n` + 'a: b\r\n'.repeat(11_000)]
  ]
  for (const [name, text] of endless) t.match(respond(text), { error: /too long/ }, name)
  const before = performance.now()
  t.match(respond(`${OK}a: b${' '.repeat(60_000)}c\r\n\r\n`).error, undefined)
  t.ok(performance.now() - before < 500, 'a header of many blanks is parsed in linear time')
})

t.test('the rules of RFC 9112', async t => {
  t.match(respond('HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n'), { isDone: true, isPersistent: true, body: '' })
  t.match(respond('HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n'), { isDone: true, isPersistent: true, body: '' })
  t.match(respond(`${OK}content-length: 0\r\n\r\n`), { isDone: true, isPersistent: true })
  t.match(respond(`${OK}content-length: 2\r\ncontent-length: 2\r\n\r\nab`), { isDone: true, isPersistent: true, body: 'ab', heads: [{ headers: { 'content-length': '2' } }] })
  t.match(respond(`${OK}content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`), { isDone: true, isPersistent: false, body: 'a' }, 'chunked takes precedence over a length')
  t.match(respond(`${OK}a: b\r\n  c\r\n\td\r\ncontent-length: 0\r\n\r\n`).heads[0]!.headers.a, /^b\s+c\s+d$/, 'a header may continue on the next line')
  t.match(respond('HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n'), { isDone: true, isPersistent: false })
  t.match(respond('HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n'), { isDone: true, isPersistent: true })
  t.match(respond('HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'), { isDone: true, isPersistent: false })
})

t.test('bytes after a response are ignored, and the connection is not reused', async t => {
  for (const answer of [`${OK}content-length: 1\r\n\r\na`, `${CHUNKED}1\r\na\r\n0\r\n\r\n`]) {
    for (const more of ['\r\n', `${OK}content-length: 1\r\n\r\nb`]) {
      t.match(respond(answer + more), { heads: { length: 1 }, body: 'a', isDone: true, isPersistent: false, error: undefined })
    }
  }
})

t.test('after stop, nothing more of the same read is reported', async t => {
  const calls: string[] = []
  const parser = new ResponseParser({
    onHead () { calls.push('head') },
    onBody (_, text, from, to) {
      calls.push(text.slice(from, to))
      if (calls.length === 3) parser.stop()
    }
  })
  parser.push(Buffer.from(`${CHUNKED}1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n`))
  t.strictSame(calls, ['head', 'a', 'b'])
  t.match(parser, { isPersistent: false })
})
