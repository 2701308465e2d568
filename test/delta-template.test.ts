import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { DeltaTemplate } from '../src/executor/delta-template.js'

type Shape = (text: string, number: number) => string

/** Frames as gateways send them. */
const SHAPES: Record<string, Shape> = {
  openai: text => JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-5', service_tier: 'default', system_fingerprint: 'fp', choices: [{ index: 0, delta: { content: text }, logprobs: null, finish_reason: null }], usage: null }),
  'openai with padding that differs': (text, number) => JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta: { content: text }, finish_reason: null }], obfuscation: `x${number}` }),
  gemini: text => JSON.stringify({ choices: [{ delta: { content: text, role: 'assistant' }, index: 0 }], created: 1, id: 'a', model: 'gemini-2.5-flash', object: 'chat.completion.chunk' }),
  openrouter: text => JSON.stringify({ id: 'gen-1', provider: 'Google', model: 'google/gemini-2.5-flash', object: 'chat.completion.chunk', created: 1, choices: [{ index: 0, delta: { role: 'assistant', content: text }, finish_reason: null, native_finish_reason: null, logprobs: null }] }),
  'ollama, with spaces': text => `{"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "llama3", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ${JSON.stringify(text)}}, "finish_reason": null}]}`,
  'a number that counts': (text, number) => JSON.stringify({ n: number, choices: [{ delta: { content: text } }] }),
  'the text twice': text => JSON.stringify({ copy: text, choices: [{ delta: { content: text } }] }),
  'another content after it': text => `{"choices":[{"delta":{"content":${JSON.stringify(text)},"content":"no"}}]}`,
  'escaped to ASCII': text => JSON.stringify({ choices: [{ delta: { content: text } }] }).replace(/[\u0080-\uffff]/g, letter => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('a', ' ', '"', '\\', '\n', '\u0000', 'é', '😀', '{', '}', ',', ':', '\u2028') }),
  fc.constantFrom('content', '","', '"}}]}', 'jeesi sentinel 5b1f', 'assistant')
)

t.test('what a template reads is what parsing reads, whatever gateways send', async t => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    t.doesNotThrow(() => fc.assert(fc.property(fc.array(text, { maxLength: 20 }), texts => {
      const template = new DeltaTemplate()
      for (const [number, text] of texts.entries()) {
        const data = shape(text, number)
        const parsed = JSON.parse(data).choices[0].delta.content
        const read = template.read(data)
        if (read === undefined) template.learn(data, parsed)
        else assert.equal(read, parsed)
      }
    }), { numRuns: 500 }), name)
  }
})

t.test('frames that are no text, and such as differ in anything but it, are not read', async t => {
  const template = new DeltaTemplate()
  const openai = SHAPES.openai!
  template.learn(openai('Hello', 0), 'Hello')
  t.equal(template.read(openai(' world', 1)), ' world')
  t.equal(template.read(openai('', 1)), '')
  for (const data of [
    openai('a "quote"', 1),
    openai('line\n', 1),
    openai('Hello', 1).replace('"finish_reason":null', '"finish_reason":"stop"'),
    openai('Hello', 1).replace('gpt-5', 'gpt-6'),
    openai('Hello', 1).replace('"content"', '"reasoning"'),
    openai('Hello', 1).slice(0, 20),
    '[DONE]',
    ''
  ]) t.equal(template.read(data), undefined, data)
})

t.test('texts of several gateways are read without parsing, but for the first', async t => {
  for (const name of ['openai', 'gemini', 'openrouter', 'ollama, with spaces']) {
    const shape = SHAPES[name]!
    const template = new DeltaTemplate()
    t.equal(template.read(shape('Hello', 0)), undefined)
    template.learn(shape('Hello', 0), 'Hello')
    t.equal(template.read(shape(' wörld 😀', 1)), ' wörld 😀', name)
  }
})

t.test('a gateway whose frames are never alike is not learned from without end', async t => {
  const template = new DeltaTemplate()
  const shape = SHAPES['a number that counts']!
  for (let number = 0; number < 20; number++) template.learn(shape('a', number), 'a')
  t.equal(template.read(shape('b', 7)), 'b', 'of the eighth')
  t.equal(template.read(shape('b', 19)), undefined)
})

t.test('a text that is spelled like another field is not taken for it', async t => {
  const shape = (model: string, text: string) => JSON.stringify({ model, choices: [{ delta: { content: text } }] })
  const template = new DeltaTemplate()
  template.learn(shape('a', 'a'), 'a')
  t.equal(template.read(shape('b', 'a')), undefined)
  template.learn(shape('a', 'Hello'), 'Hello')
  t.equal(template.read(shape('a', 'a')), 'a')
})
