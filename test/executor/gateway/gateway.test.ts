import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import type { ServiceError } from '#shared/errors.ts'
import type { Completion, ModelSink } from '../../../src/executor/gateway/completion.js'
import { Gateway, type GatewayOptions, type ModelRequest } from '../../../src/executor/gateway/gateway.js'
import {
  type Call, delta, ending, frame, hang, inTurn, openStream, refuse, refuseParameter, refuseWith, type Reply, say, startGateway, USAGE
} from '../../support/doubles/gateway.js'

const REQUEST: ModelRequest = { model: 'test/model', messages: [{ role: 'user', content: 'Hi' }], temperature: 0.7, maxTokens: 100 }

/** The outcome of one completion: what the sink received, and how it ended. */
interface Outcome { texts: string[], text: string, reasoning: string[], completion?: Completion, error?: any }

function connect (t: Test, url: string, options: Partial<GatewayOptions> = {}) {
  const gateway = new Gateway({ url, key: 'a-key', model: 'default/model', modelIsChosen: false, ...options })
  t.teardown(() => gateway.close())
  return async (request: Partial<ModelRequest> = {}, signal = new AbortController().signal, onText = () => {}): Promise<Outcome> => {
    const outcome: Outcome = { texts: [], text: '', reasoning: [] }
    const sink: ModelSink = {
      text (content) {
        outcome.texts.push(content)
        onText()
      },
      reasoning (content) { outcome.reasoning.push(content) }
    }
    const end = await gateway.complete({ ...REQUEST, ...request }, sink, signal)
      .then(completion => ({ completion }), error => ({ error }))
    return { ...outcome, ...end, text: outcome.texts.join('') }
  }
}

async function setUp (t: Test, reply?: Reply, options?: Partial<GatewayOptions>) {
  const double = await startGateway(t, reply)
  return { double, ask: connect(t, double.url, options) }
}

/** Sends these bytes, each piece as a separate HTTP chunk. */
function write (...pieces: Array<string | Uint8Array>): Reply {
  return response => {
    openStream(response)
    for (const piece of pieces) response.write(piece)
    response.end()
  }
}

/** Answers with JSON. */
function whole (body: unknown): Reply {
  return response => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body)) }
}

/** Breaks the connection after this text was sent. */
function breakOff (response: ServerResponse, text: string): void {
  openStream(response).write(text, () => response.socket!.destroy())
}

t.test('reading a stream', async t => {
  const { double, ask } = await setUp(t)

  t.test('sends key and parameters, and returns text, finish reason, model and usage', async t => {
    t.match(await ask(), { text: 'Hello world', completion: { model: 'test/model', finishReason: 'stop', usage: USAGE } })
    const { headers, body } = double.calls[0]!
    t.match(headers, { authorization: 'Bearer a-key', 'content-type': 'application/json' })
    t.strictSame(body, {
      model: 'test/model', messages: REQUEST.messages, stream: true, stream_options: { include_usage: true }, temperature: 0.7, max_tokens: 100
    })
  })

  t.test('a character may be split between reads', async t => {
    const bytes = Buffer.from(delta('a€😀漢') + ending())
    double.reply = write(...[...bytes].map(byte => Buffer.of(byte)))
    t.match(await ask(), { text: 'a€😀漢', completion: { finishReason: 'stop', usage: USAGE } })
  })

  t.test('no event contains half of a surrogate pair', async t => {
    const reader = new EventEmitter()
    double.reply = async response => {
      openStream(response).write(delta('a\ud83d'))
      await once(reader, 'text')
      response.write(delta('\ude00b\ud83d'))
      await once(reader, 'text')
      response.end(delta('\ude01') + ending())
    }
    t.strictSame((await ask({}, undefined, () => { reader.emit('text') })).texts, ['a', '😀b', '😁'])
  })

  t.test('a lone surrogate and NUL are replaced', async t => {
    double.reply = write(delta('a\0b\ude00c\ud83d'), ending())
    t.equal((await ask()).text, 'a\ufffdb\ufffdc\ufffd')
  })

  t.test('text that arrives together is emitted together', async t => {
    const pieces = ['Hel', 'lo', ' world'].map(delta)
    double.reply = write(pieces.join('') + ending())
    t.strictSame((await ask()).texts, ['Hello world'], 'frames in one HTTP chunk')
    double.reply = write(...pieces, ending())
    t.strictSame((await ask()).texts, ['Hello world'], 'HTTP chunks in one read')
  })

  t.test('text is emitted before more of it arrives', async t => {
    const stop = new AbortController()
    double.reply = hang('Hel', 'lo')
    t.strictSame((await ask({}, stop.signal, () => stop.abort())).texts, ['Hello'])
  })

  t.test('reasoning is separated from text, under both of its field names', async t => {
    const thought = (fields: object) => frame({ choices: [{ index: 0, delta: fields }] })
    double.reply = write(thought({ reasoning_content: 'Let me' }), thought({ reasoning: ' see', content: null }), delta('Yes'), ending())
    const { text, reasoning } = await ask()
    t.equal(text, 'Yes')
    t.equal(reasoning.join(''), 'Let me see')
  })

  t.test('usage is undefined if the gateway reports none', async t => {
    double.reply = write(delta('Hi'), frame({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }], usage: null }))
    t.strictSame((await ask()).completion, { model: 'test/model', finishReason: 'length', toolCalls: [] })
  })

  t.test('[DONE] ends a stream without a finish reason', async t => {
    double.reply = write(delta('Hi'), ': a comment\n\n', 'data: [DONE]\n\n')
    t.match(await ask(), { text: 'Hi', completion: { finishReason: null } })
  })

  t.test('a whole JSON document is accepted instead of a stream', async t => {
    double.reply = whole({ model: 'other/model', choices: [{ message: { content: 'Hello' }, finish_reason: 'stop' }], usage: USAGE })
    t.match(await ask(), { texts: ['Hello'], completion: { model: 'other/model', finishReason: 'stop', usage: USAGE } })
  })
})

t.test('a gateway that fails', async t => {
  const { double, ask } = await setUp(t)
  const unavailable = { code: 'gateway_unavailable', statusCode: 502, isRetryable: true }

  t.test('a stream that ends or breaks early is gateway_unavailable, after its text', async t => {
    double.reply = write(delta('Hel'), delta('lo'))
    t.match(await ask(), { text: 'Hello', completion: undefined, error: unavailable })
    double.reply = response => breakOff(response, delta('Hel') + delta('lo'))
    t.match(await ask(), { text: 'Hello', completion: undefined, error: unavailable })
    double.reply = response => { response.socket!.destroy() }
    t.match(await ask(), { text: '', error: unavailable })
  })

  t.test('an error within a stream is mapped by its code, and reported after the preceding text', async t => {
    for (const [error, code] of [
      [{ message: 'overloaded', code: 529 }, 'gateway_unavailable'],
      [{ message: 'slow down', code: 429 }, 'gateway_rate_limited'],
      [{ message: 'slow down', code: '429' }, 'gateway_rate_limited'],
      [{ message: 'empty', code: 402 }, 'gateway_payment_required'],
      [{ message: 'something', code: 'server_error' }, 'gateway_unavailable'],
      ['something', 'gateway_unavailable'],
      [{ message: 'flagged', status: 400 }, 'gateway_rejected']
    ] as const) {
      double.reply = write(delta('Hello') + frame({ error }) + ending())
      t.match(await ask(), { text: 'Hello', completion: undefined, error: { code } }, JSON.stringify(error))
    }
  })

  t.test('garbage is gateway_unavailable', async t => {
    for (const reply of [
      write('data: {"choices": [\n\n'), write('data: null\n\n'), write('<html>Welcome</html>'), write(''), whole('hello'), whole(null), whole({}),
      whole({ choices: [] }),
      ((response: ServerResponse) => { response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices"') }) as Reply,
      ((response: ServerResponse) => { response.writeHead(302, { location: '/elsewhere' }).end() }) as Reply,
      ((response: ServerResponse) => { response.socket!.end('No HTTP at all\r\n\r\n') }) as Reply
    ]) {
      double.reply = reply
      t.match(await ask(), { completion: undefined, error: unavailable })
    }
  })

  t.test('each status is mapped to an error of the contract', async t => {
    const before = double.calls.length
    const statuses: Array<[number, string, number, boolean]> = [
      [400, 'gateway_rejected', 422, false], [401, 'gateway_unauthorized', 502, false], [402, 'gateway_payment_required', 503, false],
      [403, 'gateway_unauthorized', 502, false], [404, 'gateway_rejected', 422, false], [408, 'gateway_timeout', 504, true],
      [422, 'gateway_rejected', 422, false], [429, 'gateway_rate_limited', 429, true], [500, 'gateway_unavailable', 502, true],
      [503, 'gateway_unavailable', 502, true], [504, 'gateway_timeout', 504, true]
    ]
    for (const [status, code, statusCode, isRetryable] of statuses) {
      double.reply = refuse(status, 'no such thing')
      const { error, text } = await ask()
      t.match({ ...error, isRetryable: error.isRetryable }, { code, statusCode, isRetryable }, String(status))
      t.equal(text, '')
    }
    t.equal(double.calls.length, before + statuses.length, 'each request was sent once')
  })

  t.test('a refusal contains the gateway\'s reason, in any of its formats', async t => {
    for (const body of ['{"error":{"message":"no such thing"}}', '{"error":"no such thing"}', '{"message":"no such thing"}', 'no such thing']) {
      double.reply = response => { response.writeHead(400).end(body) }
      t.match((await ask()).error, { message: 'The model does not accept this request.', reason: 'the AI gateway answered 400: no such thing' }, body)
    }
    double.reply = response => { response.writeHead(400).end() }
    t.match((await ask()).error, { reason: 'the AI gateway answered 400' })
  })

  t.test('Retry-After is read as seconds and as a date', async t => {
    const retryAfter = async (status: number, header: string): Promise<number | undefined> => {
      double.reply = refuse(status, 'later', { 'retry-after': header })
      return ((await ask()).error as ServiceError).retryAfter
    }
    t.equal(await retryAfter(429, '7'), 7)
    t.equal(await retryAfter(503, '0'), 0)
    const seconds = await retryAfter(429, new Date(Date.now() + 60_000).toUTCString())
    t.ok(seconds! > 55 && seconds! <= 60, `${seconds} s`)
    t.equal(await retryAfter(429, 'Thu, 01 Jan 2015 00:00:00 GMT'), 0, 'a date in the past')
    t.equal(await retryAfter(429, 'soon'), undefined)
  })

  t.test('a connection that is refused is gateway_unavailable', async t => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    t.match(await connect(t, `http://127.0.0.1:${port}/v1`)(), { text: '', error: { ...unavailable, cause: { code: 'ECONNREFUSED' } } })
  })
})

t.test('aborting closes the connection, and rejects with the signal\'s reason', async t => {
  const { double, ask } = await setUp(t, hang('Hel'))
  const stop = new AbortController()
  const arrived = double.nextCall()
  const asked = ask({}, stop.signal)
  const { closed } = await arrived
  const reason = new Error('enough')
  stop.abort(reason)
  t.equal((await asked).error, reason)
  await closed
  t.equal((await ask({}, stop.signal)).error, reason, 'no request is sent for an aborted signal')
  t.equal(double.calls.length, 1)
})

t.test('a parameter that a model refuses by name is adapted, and remembered for that model', async t => {
  /** Refuses bodies with this parameter, as OpenAI does. */
  const particular = (parameter: string): Reply => (response, call, number) =>
    (parameter in call.body ? refuseParameter(parameter) : say('Hello'))(response, call, number)
  const expected: Array<[string, (body: Call['body']) => void]> = [
    ['max_tokens', body => t.match(body, { max_completion_tokens: 100, temperature: 0.7, stream_options: {} })],
    ['temperature', body => t.match(body, { max_tokens: 100, stream_options: {} })],
    ['stream_options', body => t.match(body, { max_tokens: 100, temperature: 0.7, stream: true })]
  ]
  for (const [parameter, check] of expected) {
    const { double, ask } = await setUp(t, particular(parameter))
    t.equal((await ask()).text, 'Hello', parameter)
    t.equal((await ask()).text, 'Hello')
    t.strictSame(double.calls.map(({ body }) => parameter in body), [true, false, false], 'refused once, then remembered')
    check(double.calls[2]!.body)
    await ask({ model: 'another/model' })
    t.strictSame(double.calls.slice(3).map(({ body }) => parameter in body), [true, false], 'another model learns separately')
  }
})

t.test('the field of a refusal that names the parameter may be that of other gateways', async t => {
  const bodies = [
    { detail: [{ type: 'extra_forbidden', loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }] },
    { object: 'error', message: { detail: [{ type: 'extra_forbidden', loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }] } },
    [{ error: { code: 400, message: 'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.', details: [{ fieldViolations: [{ field: 'stream_options' }] }] } }]
  ]
  for (const body of bodies) {
    const { double, ask } = await setUp(t, inTurn(refuseWith(422, body), say('Hello')))
    await ask()
    t.equal((await ask()).text, 'Hello')
    t.same(double.calls.map(({ body }) => 'stream_options' in body), [true, false, false], JSON.stringify(body))
  }
})

t.test('what others are asked with does not change by a refusal', async t => {
  const refusals: Array<[string, Reply, Partial<ModelRequest>?]> = [
    ['that names the parameter in its sentence alone', refuse(400, 'Unknown field: temperature, as in "messages.0"')],
    ['of a value that the agent\'s author has chosen', refuseParameter('temperature', 'unsupported_value'), { temperature: 0.3 }],
    ['of a limit that the agent\'s author has chosen', refuseParameter('max_tokens', 'unsupported_value'), { maxTokens: 7 }]
  ]
  for (const [what, refusal, mine] of refusals) {
    const { double, ask } = await setUp(t, inTurn(refusal, say('Hello')))
    t.equal((await ask(mine)).text, 'Hello', `its own request is adapted: ${what}`)
    await ask()
    t.match(double.calls[2]!.body, { temperature: 0.7, max_tokens: 100, stream_options: {} }, what)
  }
  for (const param of ['messages[0].temperature', 'messages', 'response_format.temperature', 'tools[0].function.parameters']) {
    const { double, ask } = await setUp(t, refuseParameter(param))
    t.equal((await ask()).error.code, 'gateway_rejected', `nothing is adapted by a refusal of ${param}`)
    t.equal(double.calls.length, 1)
  }
})

t.test('a run whose request was adapted goes on so in its later turns', async t => {
  const double = await startGateway(t, (response, call, number) =>
    ('temperature' in call.body ? refuse(400, 'temperature is not supported') : say('Hello'))(response, call, number))
  const gateway = new Gateway({ url: double.url, model: 'default/model', modelIsChosen: false })
  t.teardown(() => gateway.close())
  const [run, other] = [{ ...REQUEST }, { ...REQUEST }]
  for (const request of [run, run, other]) await gateway.complete(request, { text () {}, reasoning () {} }, new AbortController().signal)
  t.same(double.calls.map(({ body }) => 'temperature' in body), [true, false, false, true, false])
})

t.test('parameters are adapted one after the other, each once', async t => {
  const { double, ask } = await setUp(t, inTurn(refuse(400, 'Unknown field: max_tokens'), refuse(422, 'temperature is not supported'), say('Hello')))
  t.equal((await ask()).text, 'Hello')
  t.match(double.calls[2]!.body, { max_completion_tokens: 100, temperature: undefined, max_tokens: undefined })
  double.reply = refuse(400, 'max_tokens and temperature are not supported')
  t.equal((await ask()).error.code, 'gateway_rejected', 'a parameter that was already adapted is not adapted again')
})

t.test('a refusal of a name within the request\'s own schemas is not learned', async t => {
  const named = (name: string, properties = {}) => [{ name, description: 'x', parameters: { type: 'object', properties }, call: async () => '' }]
  const format = { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object', properties: { temperature: { type: 'number' } } } } }
  const cases: Array<[object, string]> = [
    [{ tools: named('temperature') }, "Invalid schema for function 'temperature': 'format' is not permitted."],
    [{ tools: named('get', { temperature: {} }) }, "Invalid schema for function 'get': in 'properties.temperature', 'format' is not supported."],
    [{ responseFormat: format }, "Invalid schema for response_format 'answer': in 'temperature', 'format' is not supported."]
  ]
  for (const [request, refusal] of cases) {
    const { double, ask } = await setUp(t, refuse(400, refusal))
    t.equal((await ask(request)).error.code, 'gateway_rejected', refusal)
    t.equal(double.calls.length, 1)
    double.reply = inTurn(refuse(400, refusal), refuseParameter('temperature'), say('Hello'))
    t.equal((await ask(request)).text, 'Hello', 'a refusal of the parameter is learned')
    t.same(double.calls.map(({ body }) => 'temperature' in body), [true, true, false])
  }
})

t.test('a gateway that lacks the default model', async t => {
  const lacking: Reply = (response, call, number) =>
    (call.body.model === 'llama3.2' ? say('Hello') : refuse(404, `model "${call.body.model}" not found`))(response, call, number)
  const models = ['default/model-embed', 'nomic-embed-text', 'whisper-1', 'llama3.2', 'qwen3']

  t.test('is asked for the first chat model that it lists, and later at once', async t => {
    const { double, ask } = await setUp(t, lacking)
    double.models = models
    t.equal((await ask({ model: null })).text, 'Hello')
    t.equal((await ask({ model: undefined })).text, 'Hello')
    t.strictSame(double.calls.map(({ body }) => body.model), ['default/model', 'llama3.2', 'llama3.2'])
  })

  t.test('is not asked for another model if the agent or the operator chose one', async t => {
    for (const [request, options] of [[{ model: 'chosen' }, {}], [{ model: null }, { modelIsChosen: true }]] as const) {
      const { double, ask } = await setUp(t, lacking, options)
      double.models = models
      t.match((await ask(request)).error, { code: 'gateway_rejected', reason: /not found/ })
      t.equal(double.calls.length, 1)
    }
  })

  t.test('is not asked for another one after the default has answered, or for what is no word about the model', async t => {
    for (const replies of [[say('Hello'), refuse(404, 'model not found')], [refuse(400, 'Images are no part of what this model reads.')]]) {
      const { double, ask } = await setUp(t, inTurn(...replies))
      double.models = models.slice(1)
      for (const [index] of replies.entries()) t.equal((await ask({ model: null })).error?.code, index === replies.length - 1 ? 'gateway_rejected' : undefined)
      t.equal(double.calls.length, replies.length)
    }
  })

  t.test('refuses if it lists none', async t => {
    for (const none of [undefined, [], ['nomic-embed-text'], ['default/model']]) {
      const { double, ask } = await setUp(t, lacking)
      double.models = none
      t.equal((await ask({ model: null })).error.code, 'gateway_rejected')
    }
  })
})
