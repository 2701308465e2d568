import { brotliCompressSync, constants, createGzip, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { redirectOf } from '#shared/http/redirect.ts'
import { Gateway, type GatewayOptions } from '../../../src/executor/gateway/gateway.js'
import { Cancellation } from '../../../src/lib/cancellation.js'
import { delta, ending, inTurn, refuse, type Reply, say, startGateway, USAGE } from '../../support/doubles/gateway.js'

const STREAM = delta('Hello') + delta(' world') + ending()
const WHOLE = { model: 'test/model', choices: [{ index: 0, message: { role: 'assistant', content: 'Hello world' }, finish_reason: 'stop' }], usage: USAGE }
const COMPLETE = { text: 'Hello world', completion: { finishReason: 'stop', usage: USAGE } }

async function setUp (t: Test, reply: Reply, options: Partial<GatewayOptions> = {}) {
  const double = await startGateway(t, reply)
  const gateway = new Gateway({ url: double.url, key: 'a-key', model: 'default/model', modelIsChosen: true, ...options })
  t.teardown(() => gateway.close())
  const ask = async (onText = () => {}, signal = new Cancellation()) => {
    let text = ''
    const sink = { text (more: string) { text += more; onText() }, reasoning () {} }
    const request = { messages: [{ role: 'user' as const, content: 'Hi' }], temperature: 0, maxTokens: 9 }
    const end = await gateway.complete(request, sink, signal).then(completion => ({ completion }), error => ({ error }))
    return { text, ...end } as { text: string, completion?: any, error?: any }
  }
  return { double, ask }
}

/** Answers with these bytes and headers. */
function send (body: string | Uint8Array, headers: Record<string, string>, status = 200): Reply {
  return response => { response.writeHead(status, headers).end(body) }
}

const EVENTS = { 'content-type': 'text/event-stream' }
const JSON_TYPE = { 'content-type': 'application/json' }

t.test('identity is asked for, and gzip, deflate and br are read all the same', async t => {
  const { double, ask } = await setUp(t, say('Hello', ' world'))
  t.match(await ask(), COMPLETE)
  t.equal(double.calls[0]!.headers['accept-encoding'], 'identity')
  const codings: Array<[string, (text: string) => Uint8Array]> = [
    ['gzip', gzipSync], ['x-gzip', gzipSync], ['GZIP', gzipSync], ['deflate', deflateSync], ['deflate', deflateRawSync], ['br', brotliCompressSync]
  ]
  for (const [coding, encode] of codings) {
    double.reply = send(encode(STREAM), { ...EVENTS, 'content-encoding': coding })
    t.match(await ask(), COMPLETE, `${coding}, a stream`)
    double.reply = send(encode(JSON.stringify(WHOLE)), { ...JSON_TYPE, 'content-encoding': coding })
    t.match(await ask(), COMPLETE, `${coding}, a document`)
    double.reply = send(encode('{"error":{"message":"no such thing"}}'), { ...JSON_TYPE, 'content-encoding': coding }, 400)
    t.match((await ask()).error, { code: 'gateway_rejected', reason: 'the AI gateway answered 400: no such thing' }, `${coding}, an error`)
  }
  double.reply = send(STREAM, { ...EVENTS, 'content-encoding': 'identity' })
  t.match(await ask(), COMPLETE, 'identity, named')
})

t.test('an encoded stream is told while it arrives, and what was cut off before its trailer is whole if its end came', async t => {
  let more = () => {}
  const { double, ask } = await setUp(t, response => {
    response.writeHead(200, { ...EVENTS, 'content-encoding': 'gzip' })
    const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    gzip.pipe(response)
    gzip.write(delta('Hello'))
    more = () => { gzip.end(delta(' world') + ending()) }
  })
  t.match(await ask(() => more()), COMPLETE)
  const bytes = gzipSync(STREAM)
  double.reply = send(bytes.subarray(0, bytes.length - 8), { ...EVENTS, 'content-encoding': 'gzip' })
  t.match(await ask(), COMPLETE)
  const half = gzipSync(delta('Hello') + delta(' world'))
  double.reply = response => { response.writeHead(200, { ...EVENTS, 'content-encoding': 'gzip' }).write(half, () => response.socket!.destroy()) }
  t.match(await ask(), { text: 'Hello world', completion: undefined, error: { code: 'gateway_unavailable' } }, 'what broke before its end is told, and is a failure')
})

t.test('an answer is whole whose coded bytes end before its body does', async t => {
  const { double, ask } = await setUp(t, () => {})
  for (const [coding, encode] of [['deflate', deflateSync], ['br', brotliCompressSync], ['gzip', gzipSync]] as const) {
    double.reply = response => {
      response.writeHead(200, { ...JSON_TYPE, 'content-encoding': coding })
      response.write(Buffer.concat([encode(JSON.stringify(WHOLE)), Buffer.alloc(8)]))
      // The end of the body comes by itself, when all was decoded.
      setTimeout(() => response.end(), 50)
    }
    t.match(await ask(), COMPLETE, coding)
  }
})

t.test('what cannot be decoded is a failure with a reason', async t => {
  const { double, ask } = await setUp(t, send('no gzip at all', { ...EVENTS, 'content-encoding': 'gzip' }))
  t.match((await ask()).error, { code: 'gateway_unavailable', cause: { message: 'The body cannot be decoded.' } })
  for (const coding of ['zstd', 'gzip, br']) {
    double.reply = send('x', { ...EVENTS, 'content-encoding': coding })
    t.match((await ask()).error, { code: 'gateway_unavailable', cause: { message: `The body has a content coding that is not read: ${coding}` } })
  }
})

t.test('a small body that would become an endless answer is stopped at the limit of an answer', async t => {
  const { double, ask } = await setUp(t, send(gzipSync(delta('x'.repeat(100_000)).repeat(100)), { ...EVENTS, 'content-encoding': 'gzip' }), { maxAnswer: 1_000_000 })
  t.match((await ask()).error, { code: 'gateway_answer_too_long' })
  await double.calls[0]!.closed
})

t.test('a cancelled answer that is encoded says nothing more', async t => {
  const { double, ask } = await setUp(t, response => {
    const gzip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    gzip.pipe(response.writeHead(200, { ...EVENTS, 'content-encoding': 'gzip' }))
    gzip.write(delta('Hello'))
  })
  const signal = new Cancellation()
  const reason = new Error('enough')
  t.match(await ask(() => signal.abort(reason), signal), { text: 'Hello', error: reason })
  await double.calls[0]!.closed
})

t.test('307 and 308 are followed on the same host, with the same body and key, a few times', async t => {
  const to = (location: string, status = 307): Reply => send('moved', { location, 'content-type': 'text/plain' }, status)
  const { double, ask } = await setUp(t, inTurn(to('/v2/chat/completions?a=b'), to('/v3', 308), say('Hello', ' world')))
  t.match(await ask(), COMPLETE)
  t.same(double.calls.map(({ path }) => path), ['/v1/chat/completions', '/v2/chat/completions?a=b', '/v3'])
  t.strictSame(double.calls[2]!.body, double.calls[0]!.body)
  t.equal(double.calls[2]!.headers.authorization, 'Bearer a-key')

  double.reply = to('/again')
  const before = double.calls.length
  t.match((await ask()).error, { code: 'gateway_unavailable' })
  t.equal(double.calls.length - before, 6, 'and no more than five times')
  const other = await startGateway(t)
  for (const [location, status] of [[other.url, 307], ['http://localhost:1/v1', 308], ['/v1', 301], ['/v1', 302], ['', 307], ['http://[', 307]] as const) {
    double.reply = to(location, status)
    const { error } = await ask()
    t.match(error, { code: 'gateway_unavailable', cause: { message: new RegExp(`answered ${status}`) } }, location)
  }
  t.equal(other.calls.length, 0, 'no key reaches another host')
})

t.test('a redirect leads to the same host, or to the same name by TLS, and never back from it', async t => {
  const from = new URL('http://ai.example/v1/chat/completions')
  for (const [location, to] of [
    ['https://ai.example/v1/chat/completions', 'https://ai.example/v1/chat/completions'], ['//ai.example/x', 'http://ai.example/x'],
    ['http://user:secret@ai.example/x#y', 'http://ai.example/x'], ['http://ai.example:81/x', undefined], ['https://other.example/x', undefined], ['ftp://ai.example/x', undefined]
  ] as const) t.equal(redirectOf(from, 308, location)?.href, to, location)
  t.equal(redirectOf(new URL('https://ai.example/v1'), 307, 'http://ai.example/v1'), undefined)
})

t.test('a body is read for what it is, whatever its content type says', async t => {
  const { double, ask } = await setUp(t, say())
  const lines = [{ choices: [{ index: 0, delta: { content: 'Hello' } }] }, { choices: [{ index: 0, delta: { content: ' world' } }] }, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: USAGE }]
  const ndjson = lines.map(line => `${JSON.stringify(line)}\n`).join('')
  const bodies: Array<[string, string, Record<string, string>]> = [
    ['JSON labelled as a stream', JSON.stringify(WHOLE), EVENTS],
    ['JSON on many lines labelled as a stream', JSON.stringify(WHOLE, null, 2), EVENTS],
    ['JSON without a label', JSON.stringify(WHOLE), {}],
    ['JSON behind white space and a byte order mark', `\ufeff\n ${JSON.stringify(WHOLE)}`, JSON_TYPE],
    ['a stream labelled as JSON', STREAM, JSON_TYPE],
    ['a stream that begins with a comment, labelled as JSON', `: hi\n\n${STREAM}`, { 'content-type': 'application/json; charset=utf-8' }],
    ['a stream without a label', STREAM, {}],
    ['ndjson', ndjson, { 'content-type': 'application/x-ndjson' }],
    ['ndjson labelled as JSON', ndjson, JSON_TYPE],
    ['ndjson labelled as a stream, with a last line', `${ndjson}[DONE]`, EVENTS]
  ]
  for (const [what, body, headers] of bodies) {
    double.reply = send(body, headers)
    t.match(await ask(), COMPLETE, what)
    double.reply = response => { response.writeHead(200, headers); for (const byte of Buffer.from(body)) response.write(Buffer.of(byte)); response.end() }
    t.match(await ask(), COMPLETE, `${what}, byte by byte`)
  }
  double.reply = response => { response.writeHead(200, { 'content-type': 'application/x-ndjson' }).write(ndjson.split('\n')[0] + '\n') }
  const signal = new Cancellation()
  t.match(await ask(() => signal.abort(new Error('enough')), signal), { text: 'Hello' }, 'ndjson is told while it arrives')
})

t.test('a page for people instead of a completion says what it is', async t => {
  const page = '<!doctype html><html><head><title>Open WebUI</title></head></html>'
  const { double, ask } = await setUp(t, send(page, { 'content-type': 'text/html' }))
  t.match((await ask()).error, { code: 'gateway_unavailable', reason: 'the AI gateway answered 200 with a page instead of a completion: Open WebUI' })
  double.reply = send('<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr>nginx</body></html>', { 'content-type': 'text/html' }, 502)
  t.match((await ask()).error, { reason: 'the AI gateway answered 502: 502 Bad Gateway' })
  double.reply = send('[{"error":{"code":429,"message":"Resource has been exhausted"}}]', JSON_TYPE, 429)
  t.match((await ask()).error, { code: 'gateway_rate_limited', reason: 'the AI gateway answered 429: Resource has been exhausted' })
})

t.test('Retry-After-Ms is read, and is more exact than Retry-After', async t => {
  const { double, ask } = await setUp(t, refuse(429, 'slow', { 'retry-after-ms': '250', 'retry-after': '1' }))
  t.equal((await ask()).error.retryAfter, 0.25)
  double.reply = refuse(503, 'slow', { 'retry-after-ms': 'soon', 'retry-after': '3' })
  t.equal((await ask()).error.retryAfter, 3)
})

t.test('half of a surrogate pair is sent as U+FFFD, wherever it stands', async t => {
  const double = await startGateway(t)
  const gateway = new Gateway({ url: double.url, model: 'm', modelIsChosen: true })
  t.teardown(() => gateway.close())
  const half = 'a\ud800'
  const parameters = { type: 'object', properties: { [half]: { description: half } } }
  await gateway.complete({
    messages: [{ role: 'user', content: half }], temperature: 0, maxTokens: 1, tools: [{ name: 'f', description: half, parameters }]
  }, { text () {}, reasoning () {} }, new Cancellation())
  t.match(double.calls[0]!.body, { messages: [{ content: 'a\ufffd' }], tools: [{ function: { description: 'a\ufffd', parameters: { properties: { 'a\ufffd': { description: 'a\ufffd' } } } } }] })
})
