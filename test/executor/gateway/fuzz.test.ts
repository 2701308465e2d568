import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { CompletionHandler } from '../../../src/executor/gateway/completion.js'
import { ResponseParser } from '../../../src/executor/gateway/http/response-parser.js'
import { ToolCallCollector } from '../../../src/executor/gateway/tool-calls.js'
import { ANSWERS } from '../../support/gateway-answers.js'
import { often } from '../../support/scope.js'

interface Outcome { text: string, reasoning: string, error?: string, finishReason?: string | null, usage?: object, calls?: string[][] }

/** What the incremental parsers make of a response that arrives in these pieces: HTTP, events, frames and templates. */
function parse (pieces: Buffer[], breaks: boolean): Outcome {
  const outcome: Outcome = { text: '', reasoning: '' }
  const sink = { mayCallTools: true, text: (more: string) => { outcome.text += more }, reasoning: (more: string) => { outcome.reasoning += more } }
  const handler = new CompletionHandler('m', sink, new AbortController().signal, 1e6, ({ finishReason, usage, toolCalls }) => {
    Object.assign(outcome, { finishReason, usage, calls: toolCalls.map(({ function: { name, arguments: args } }) => [name, args]) })
  }, (error: any) => { outcome.error = error.code })
  handler.attach({ isSent: true, abort () {} })
  const parser = new ResponseParser(handler)
  for (const [index, piece] of pieces.entries()) {
    parser.push(Buffer.from(piece))
    if (index % 3 === 0) handler.onReadsDone()
  }
  if (breaks) handler.onError(new Error('broken'))
  else {
    assert.ok(parser.end())
    handler.onEnd()
  }
  return outcome
}

/** A response that is a whole document. */
function sendDocument (json: string): Outcome {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n`
  return parse([Buffer.from(head + json)], false)
}

/** A response with this body, in chunks of these sizes, cut by the network at these positions. */
function send (stream: string, sizes: number[], positions: number[], breaks = false): Outcome {
  const body = Buffer.from(stream)
  const chunks: Buffer[] = [Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n')]
  for (let at = 0, index = 0; at < body.length; index++) {
    const part = body.subarray(at, at += sizes[index % sizes.length]!)
    chunks.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'))
  }
  if (!breaks) chunks.push(Buffer.from('0\r\n\r\n'))
  const bytes = Buffer.concat(chunks)
  const cuts = [0, ...positions.map(position => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return parse(cuts.slice(1).map((cut, index) => bytes.subarray(cuts[index], cut)), breaks)
}

const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 })
const positions = fc.array(fc.nat(), { maxLength: 40 })

t.test('the ways of gateways come to the same however the network cuts their bytes', async t => {
  for (const [name, { stream, breaks, text = '', reasoning = '', finishReason, calls = [], error }] of Object.entries(ANSWERS)) {
    t.doesNotThrow(() => fc.assert(fc.property(sizes, positions, (sizes, positions) => {
      const outcome = send(stream, sizes, positions, breaks)
      assert.deepEqual([outcome.text, outcome.reasoning, outcome.error], [text, reasoning, error])
      if (!error) assert.deepEqual([outcome.finishReason, outcome.calls], [finishReason, calls])
    }), { numRuns: 30 }), name)
  }
})

/** The plain reference: the whole stream at once, line by line, each frame by JSON.parse, without any state but the result. */
function readPlainly (stream: string, breaks: boolean): Outcome {
  const lines = stream.split('\n')
  // Without its blank line an event counts only if the response ends as it should.
  if (breaks && !stream.endsWith('\n\n')) lines.splice(stream.slice(0, stream.lastIndexOf('\n\n') + 2).split('\n').length - 1)
  const outcome: Outcome = { text: '', reasoning: '' }
  let end: 'none' | 'unknown' | 'known' = 'none'
  let finishReason: string | null = null
  let isUnknownTakenBack = false
  const usage: Record<string, number> = {}
  const fail = (error: string): Outcome => ({ text: outcome.text, reasoning: outcome.reasoning, error })
  for (const line of lines) {
    if (!line.startsWith('data:')) continue
    const data = line.slice(5).trim()
    if (data.toLowerCase() === '[done]') {
      if (end === 'none') finishReason = null
      end = 'known'
      break
    }
    if (!data.startsWith('{')) continue
    let frame: any
    try {
      frame = JSON.parse(data)
    } catch {
      if (end !== 'none') continue
      return fail('gateway_unavailable')
    }
    const choice = frame.choices?.[0]
    if ((frame.error || choice?.finish_reason === 'error') && end !== 'known') return fail('gateway_unavailable')
    const { content = '', reasoning = '' } = choice?.delta ?? {}
    if ((content || reasoning) && end === 'unknown') {
      end = 'none'
      isUnknownTakenBack = true
    }
    outcome.text += content
    outcome.reasoning += reasoning
    const reason = choice?.finish_reason
    if (reason === 'bored' && end !== 'known' && !isUnknownTakenBack) {
      end = 'unknown'
      finishReason = reason
    } else if (reason && reason !== 'bored' && reason !== 'error' && end !== 'known') {
      end = 'known'
      finishReason = reason
    }
    for (const [name, count] of Object.entries(frame.usage ?? {})) usage[name] = Math.max(usage[name] ?? 0, count as number)
  }
  if (end === 'none') return fail('gateway_unavailable')
  return { ...outcome, finishReason, usage: Object.keys(usage).length > 0 ? usage : undefined, calls: [] }
}

t.test('streams of any frames come to what a plain reading of the whole comes to', async t => {
  const data = (value: object) => `data: ${JSON.stringify(value)}\n\n`
  const text = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('"', '\\', '","content":"', 'stop', ' ', '\n', '漢', 'data: [DONE]'))
  const shape = fc.constantFrom<(delta: object, reason: unknown) => object>(
    (delta, finish_reason) => ({ id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] }),
  (delta, finish_reason) => ({ choices: [{ delta: { role: 'assistant', ...delta }, finish_reason, index: 0 }], usage: null })
  )
  const figure = fc.nat({ max: 99 })
  const frame = fc.oneof(
    { weight: 8, arbitrary: fc.tuple(text, fc.constantFrom('content', 'reasoning'), fc.constantFrom(null, '')).map(([text, field, none]) => [{ [field]: text }, none] as const) },
    { weight: 1, arbitrary: fc.constantFrom('stop', 'length', 'content_filter', 'bored', 'error').map(reason => [{}, reason] as const) }
  )
  const other = fc.oneof(
    fc.constantFrom(': ping\n\n', 'data: null\n\n', 'data: : comment\n\n', 'data: [DONE] \n\n', 'event: x\n\n', 'data: {"created":1}\n\n', 'data: {"error":{"message":"no"}}\n\n', 'data: {"cho\n\n'),
    fc.record({ prompt_tokens: figure, completion_tokens: figure, total_tokens: figure }).map(usage => data({ choices: [], usage }))
  )
  const tail = fc.constantFrom('', 'data: {"choices":[{"de', 'data: [DONE]')
  const stream = fc.tuple(shape, fc.array(fc.oneof({ weight: 6, arbitrary: frame }, { weight: 1, arbitrary: other }), { maxLength: 30 }), tail)
    .map(([shape, items, tail]) => items.map(item => typeof item === 'string' ? item : data(shape(item[0], item[1]))).join('') + tail)
  const ends = { failed: 0, whole: 0 }
  t.doesNotThrow(() => fc.assert(fc.property(stream, fc.boolean(), sizes, positions, (stream, breaks, sizes, positions) => {
    const expected = readPlainly(stream, breaks)
    ends[expected.error ? 'failed' : 'whole']++
    const { usage, ...outcome } = send(stream, sizes, positions, breaks)
    assert.deepEqual({ ...outcome, ...(usage && { usage }) }, JSON.parse(JSON.stringify(expected)))
  }), { numRuns: often(2000) }))
  t.ok(ends.failed > 100 && ends.whole > 100, JSON.stringify(ends))
})

t.test('tool calls come to what was called, in whatever style a gateway writes them, and however it cuts them', async t => {
  const name = fc.constantFrom('look', 'read_file', 'f', 'sum-up')
  const args = fc.dictionary(fc.string({ maxLength: 4 }), fc.oneof(fc.string({ unit: fc.constantFrom('a', '"', '\\', '{', '}', 'é') }), fc.integer(), fc.constant({ inner: [{}] })), { minKeys: 1, maxKeys: 3, noNullPrototype: true })
  const calls = fc.array(fc.tuple(name, args.map(value => JSON.stringify(value))), { minLength: 1, maxLength: 4 })
  const cut = (text: string, sizes: number[]): string[] => {
    const parts: string[] = []
    for (let at = 0, index = 0; at < text.length; index++) parts.push(text.slice(at, at += sizes[index % sizes.length]!))
    return parts
  }
  type Style = (calls: Array<[string, string]>, sizes: number[]) => object[][]
  let ids = 0
  const styles: Record<string, Style> = {
    'as the protocol has it': (calls, sizes) => calls.flatMap(([name, args], index) => [
      [{ index, id: `c${index}`, type: 'function', function: { name, arguments: '' } }], ...cut(args, sizes).map(part => [{ index, function: { arguments: part } }])
    ]),
    'names and new ids in every piece, and a tail': (calls, sizes) => calls.flatMap(([name, args], index) => [...cut(args, sizes), ''].map(part => [{ index, id: `r${ids++}`, function: { name, arguments: part } }])),
    'names in fragments': (calls, sizes) => calls.flatMap(([name, args], index) => [
      [{ index, id: `c${index}`, function: { name: name.slice(0, 1), arguments: '' } }], [{ index, function: { name: name.slice(1) } }], ...cut(args, sizes).map(part => [{ index, function: { arguments: part } }])
    ]),
    'whole calls of index 0': calls => calls.map(([name, args]) => [{ index: 0, id: '', function: { name, arguments: args } }]),
    'whole calls without index and id': calls => calls.map(([name, args]) => [{ function: { name, arguments: args } }]),
    'whole calls in one frame': calls => [calls.map(([name, args]) => ({ function: { name, arguments: args } }))],
    'calls of index 0, each with its id': (calls, sizes) => calls.flatMap(([name, args], number) => [
      [{ index: 0, id: `c${number}`, function: { name, arguments: '' } }], ...cut(args, sizes).map(part => [{ index: 0, function: { arguments: part } }])
    ]),
    'objects as arguments': calls => calls.map(([name, args], index) => [{ index, id: `c${index}`, function: { name, arguments: JSON.parse(args) } }]),
    '{} first': (calls, sizes) => calls.flatMap(([name, args], index) => [
      [{ index, id: `c${index}`, function: { name, arguments: '{}' } }], ...cut(args, sizes).map(part => [{ index, function: { arguments: part } }])
    ]),
    'ids that come late': (calls, sizes) => calls.flatMap(([name, args], index) => [
      [{ index, id: '', function: { name, arguments: '' } }], ...cut(args, sizes).map(part => [{ index, id: `c${index}`, function: { name: '', arguments: part } }])
    ])
  }
  for (const [style, write] of Object.entries(styles)) {
    t.doesNotThrow(() => fc.assert(fc.property(calls, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), (calls, sizes) => {
      const collector = new ToolCallCollector()
      for (const pieces of write(calls, sizes)) collector.add(pieces)
      assert.deepEqual(collector.calls.map(({ function: { name, arguments: args } }) => [name, args]), calls)
      assert.ok(collector.length >= calls.flat().join('').length)
    }), { numRuns: often(300) }), style)
  }
})

t.test('pieces of calls of any form end in calls of the protocol, or in a ServiceError', async t => {
  const anything = fc.oneof(fc.jsonValue(), fc.constantFrom('look', '{}', '{"a":1}', '', 0, 1))
  const piece = fc.record({ index: anything, id: anything, function: fc.oneof(anything, fc.record({ name: anything, arguments: anything, extra: anything }, { requiredKeys: [] })), extra: anything }, { requiredKeys: [] })
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(fc.oneof(fc.array(piece), anything)), frames => {
    const collector = new ToolCallCollector()
    for (const pieces of frames) collector.add(pieces)
    for (const call of collector.calls) {
      assert.ok(typeof call.id === 'string' && call.id !== '' && call.type === 'function')
      assert.deepEqual([typeof call.function.name, typeof call.function.arguments], ['string', 'string'])
    }
  }), { numRuns: often(1000) }))
})

t.test('frames and documents of any JSON end in a completion or in an error of the gateway', async t => {
  const anything = fc.oneof(fc.jsonValue(), fc.constantFrom('Hi', '', 'stop', null, 0, [], {}, [{ type: 'text', text: 'Hi' }]))
  const message = fc.oneof(anything, fc.record({ content: anything, refusal: anything, reasoning: anything, reasoning_details: anything, tool_calls: anything, function_call: anything, images: anything }, { requiredKeys: [] }))
  const choice = fc.oneof(anything, fc.record({ delta: message, message, finish_reason: anything, error: anything, usage: anything }, { requiredKeys: [] }))
  const frame = fc.oneof(anything, fc.record({ choices: fc.oneof(anything, fc.array(choice, { maxLength: 2 })), usage: anything, model: anything, error: anything, object: anything, type: anything, x_groq: anything }, { requiredKeys: [] }))
  t.doesNotThrow(() => fc.assert(fc.property(fc.array(frame), sizes, positions, (frames, sizes, positions) => {
    const streamed = send(frames.map(frame => `data: ${JSON.stringify(frame)}\n\n`).join(''), sizes, positions)
    for (const { error, ...outcome } of [streamed, ...frames.map(frame => sendDocument(JSON.stringify(frame)))]) {
      if (error === undefined) assert.ok('finishReason' in outcome)
      else assert.match(error, /^gateway_/)
    }
  }), { numRuns: often(1000) }))
})
