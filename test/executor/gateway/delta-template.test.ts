import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { DeltaTemplate, templateFieldOf } from '../../../src/executor/gateway/delta-template.js'
import { often } from '../../support/scope.js'

type Shape = (text: string, number: number) => string

/** Frames of several gateways. */
const SHAPES: Record<string, Shape> = {
  openai: text => JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-5', service_tier: 'default', system_fingerprint: 'fp', choices: [{ index: 0, delta: { content: text }, logprobs: null, finish_reason: null }], usage: null }),
  'openai with padding that differs': (text, number) => JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta: { content: text }, finish_reason: null }], obfuscation: `x${number}` }),
  gemini: text => JSON.stringify({ choices: [{ delta: { content: text, role: 'assistant' }, index: 0 }], created: 1, id: 'a', model: 'gemini-2.5-flash', object: 'chat.completion.chunk' }),
  openrouter: text => JSON.stringify({ id: 'gen-1', provider: 'Google', model: 'google/gemini-2.5-flash', object: 'chat.completion.chunk', created: 1, choices: [{ index: 0, delta: { role: 'assistant', content: text }, finish_reason: null, native_finish_reason: null, logprobs: null }] }),
  'ollama, with spaces': text => `{"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "llama3", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ${JSON.stringify(text)}}, "finish_reason": null}]}`,
  'a number that counts': (text, number) => JSON.stringify({ n: number, choices: [{ delta: { content: text } }] }),
  'an empty finish reason, and fields of nothing': text => JSON.stringify({ choices: [{ index: 0, delta: { role: 'assistant', content: text, reasoning: null, tool_calls: [] }, finish_reason: '' }] }),
  'the text twice': text => JSON.stringify({ copy: text, choices: [{ delta: { content: text } }] }),
  'another content after it': text => `{"choices":[{"delta":{"content":${JSON.stringify(text)},"content":"no"}}]}`,
  'escaped to ASCII': text => JSON.stringify({ choices: [{ delta: { content: text } }] }).replace(/[\u0080-\uffff]/g, letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('a', ' ', '"', '\\', '\n', '\u0000', 'é', '😀', '{', '}', ',', ':', '\u2028') }),
  fc.constantFrom('content', '","', '"}}]}', 'jeesi sentinel 5b1f', 'assistant')
)

/** A frame on the wire. */
function wire (data: string): Buffer {
  return Buffer.from(`data: ${data}\n\n`)
}

/** The texts that a template extracts, and where it stops. */
function extract (template: DeltaTemplate, bytes: Buffer): { texts: string[], at: number } {
  const texts: string[] = []
  // A read contains more than these frames.
  const raw = `data: ${bytes.toString('latin1')}data: {"choices"`
  return { at: template.extract(raw, 6, 6 + bytes.length, { onText: text => { texts.push(text) } }) - 6, texts }
}

t.test('a template extracts the same texts as parsing, for all gateways and any number of frames per read', async t => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    t.doesNotThrow(() => fc.assert(fc.property(fc.array(text, { maxLength: 20 }), fc.nat({ max: 4 }), (texts, more) => {
      const template = new DeltaTemplate()
      const frames = texts.map(shape)
      const parsed = frames.map(data => JSON.parse(data).choices[0].delta.content as string)
      for (let number = 0; number < frames.length;) {
        const together = frames.slice(number, number + more + 1).map(wire)
        const { texts, at } = extract(template, Buffer.concat(together))
        assert.deepEqual(texts, parsed.slice(number, number + texts.length))
        assert.equal(at, Buffer.concat(together.slice(0, texts.length)).length)
        number += texts.length
        if (texts.length === together.length) continue
        template.learn(frames[number]!, 'content', parsed[number]!)
        number++
      }
    }), { numRuns: often(500) }), name)
  }
})

t.test('frames without text, and frames that differ in anything else, are left to the parser', async t => {
  const template = new DeltaTemplate()
  const openai = SHAPES.openai!
  template.learn(openai('Hello', 0), 'content', 'Hello')
  for (const text of [' world', '', 'a "quote"', 'line\n', ' wörld 😀', '\\']) t.strictSame(extract(template, wire(openai(text, 1))).texts, [text])
  for (const data of [
    openai('Hello', 1).replace('"finish_reason":null', '"finish_reason":"stop"'),
    openai('Hello', 1).replace('gpt-5', 'gpt-6'),
    openai('Hello', 1).replace('"content"', '"reasoning"'),
    openai('Hello', 1).replace('Hello', '\\x'),
    openai('Hello', 1).replace('Hello', 'a\u0001b'),
    openai('Hello', 1).slice(0, 20),
    '[DONE]',
    ''
  ]) t.strictSame(extract(template, wire(data)), { texts: [], at: 0 }, data)
  const [frame, other] = [wire(openai('Hello', 1)), wire('[DONE]')]
  t.strictSame(extract(template, Buffer.concat([frame, frame, other, frame])), { texts: ['Hello', 'Hello'], at: 2 * frame.length })
  t.strictSame(extract(template, frame.subarray(0, -1)), { texts: [], at: 0 }, 'an incomplete frame')
  t.strictSame(extract(template, Buffer.from(`${frame}`.replaceAll('\n', '\r\n'))), { texts: [], at: 0 }, 'other line ends')
})

t.test('all frames except the first are extracted for several gateways', async t => {
  for (const name of ['openai', 'gemini', 'openrouter', 'ollama, with spaces']) {
    const shape = SHAPES[name]!
    const template = new DeltaTemplate()
    t.strictSame(extract(template, wire(shape('Hello', 0))).texts, [])
    template.learn(shape('Hello', 0), 'content', 'Hello')
    t.strictSame(extract(template, wire(shape(' wörld 😀', 1))).texts, [' wörld 😀'], name)
  }
})

t.test('reasoning is extracted like text, and neither is mistaken for the other', async t => {
  const shape = (field: string, text: string) => JSON.stringify({ choices: [{ index: 0, delta: { [field]: text } }] })
  const template = new DeltaTemplate()
  for (const field of ['reasoning_content', 'reasoning', 'content'] as const) {
    template.learn(shape(field, 'Hm'), field, 'Hm')
    t.equal(template.field, field)
    t.strictSame(extract(template, wire(shape(field, ' so'))).texts, [' so'])
    t.strictSame(extract(template, wire(shape(`x${field}`, ' so'))).texts, [])
  }
})

t.test('learning stops for a gateway whose frames always differ, but not for one whose frames sometimes change', async t => {
  const template = new DeltaTemplate()
  const shape = SHAPES['a number that counts']!
  for (let number = 0; number < 20; number++) template.learn(shape('a', number), 'content', 'a')
  t.strictSame(extract(template, wire(shape('b', 7))).texts, ['b'], 'the template of the eighth frame')
  t.strictSame(extract(template, wire(shape('b', 19))).texts, [])
  for (let number = 0; number < 20; number++) {
    const template = new DeltaTemplate()
    for (let change = 0; change <= number; change++) {
      template.learn(shape('a', change), 'content', 'a')
      t.strictSame(extract(template, wire(shape('b', change))).texts, ['b'])
    }
  }
})

t.test('a text that equals the value of another field is not mistaken for it', async t => {
  const shape = (model: string, text: string) => JSON.stringify({ model, choices: [{ delta: { content: text } }] })
  const template = new DeltaTemplate()
  template.learn(shape('a', 'a'), 'content', 'a')
  t.strictSame(extract(template, wire(shape('b', 'a'))).texts, [])
  template.learn(shape('a', 'Hello'), 'content', 'Hello')
  t.strictSame(extract(template, wire(shape('a', 'a'))).texts, ['a'])
})

t.test('only a frame with one text and nothing else becomes the template', async t => {
  const field = (delta: unknown, more: object = {}, frame: object = {}) => templateFieldOf({ delta, finish_reason: null, ...more }, frame)
  t.equal(field({ content: 'Hi' }), 'content')
  t.equal(field({ role: 'assistant', content: '', reasoning: 'Hm' }), 'reasoning')
  t.equal(field({ content: 'Hi', refusal: null, tool_calls: [], annotations: [] }, { finish_reason: '' }), 'content')
  for (const more of [{ reasoning: 'Hm' }, { refusal: 'No' }, { reasoning_details: [{}] }, { extra_content: {} }, { thought_signature: 'x' }, { tool_calls: [{}] }, { images: [{}] }]) {
    t.equal(field({ content: 'Hi', ...more }), undefined, JSON.stringify(more))
  }
  t.equal(field({ content: 'Hi' }, { finish_reason: 'stop' }), undefined)
  t.equal(field({ content: 'Hi' }, {}, { usage: {} }), undefined)
  for (const delta of [undefined, null, {}, 'Hi', 7, [], { content: 7 }, { content: [{ type: 'text', text: 'Hi' }] }, { other: 'Hi' }]) t.equal(field(delta), undefined, JSON.stringify(delta))
})
