import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { Gateway, type ModelRequest } from '../../../src/executor/gateway/gateway.js'
import { Cancellation } from '../../../src/lib/cancellation.js'
import { frame, openStream, startGateway } from '../../support/doubles/gateway.js'
import { ANSWERS } from '../../support/gateway-answers.js'

const TOOLS = [{ name: 'look', description: 'Looks.', parameters: { type: 'object' } }]

/** What one request comes to over a real connection. */
async function setUp (t: Test) {
  const double = await startGateway(t)
  const gateway = new Gateway({ url: double.url, model: 'm', modelIsChosen: true })
  t.teardown(() => gateway.close())
  const ask = async (reply: (response: ServerResponse) => void, { mayCallTools = false, ...request }: Partial<ModelRequest> & { mayCallTools?: boolean } = {}) => {
    double.reply = reply
    const said = { text: '', reasoning: '' }
    const sink = { mayCallTools, text: (more: string) => { said.text += more }, reasoning: (more: string) => { said.reasoning += more } }
    const outcome = await gateway.complete({ messages: [{ role: 'user', content: 'Hi' }], temperature: 0, maxTokens: 1, tools: TOOLS, ...request }, sink, new Cancellation())
      .then(completion => ({ completion, error: undefined }), error => ({ error, completion: undefined }))
    return { ...said, ...outcome }
  }
  return { ask, double }
}

function send (stream: string, breaks = false) {
  return (response: ServerResponse): void => {
    openStream(response)
    if (breaks) response.write(stream, () => response.socket!.destroy())
    else response.end(stream)
  }
}

const whole = (body: unknown) => (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
}

t.test('the ways of gateways', async t => {
  const { ask } = await setUp(t)
  for (const [name, { stream, breaks, text = '', reasoning = '', finishReason, usage, calls = [], error, reason }] of Object.entries(ANSWERS)) {
    t.test(name, async t => {
      const outcome = await ask(send(stream, breaks))
      t.equal(outcome.error?.code, error)
      t.match(outcome, { text, reasoning })
      if (reason) t.match(outcome.error.reason, reason)
      if (error) return
      t.equal(outcome.completion!.finishReason, finishReason)
      t.same(outcome.completion!.toolCalls.map(({ function: { name, arguments: args } }) => [name, args]), calls)
      if (usage) t.same(Object.values(outcome.completion!.usage!), usage)
    })
  }
})

t.test('a completion as a single document is read in the same way', async t => {
  const { ask } = await setUp(t)
  const ofChoice = (choice: object, more: object = {}) => whole({ object: 'chat.completion', model: 'm', choices: [choice], ...more })
  t.match(await ask(ofChoice({ message: { content: 'Hi' }, finish_reason: '' })), { text: 'Hi', completion: { finishReason: null } }, 'a document is whole without a finish reason')
  t.match(await ask(ofChoice({ message: { content: null, refusal: 'No.' }, finish_reason: 'stop' })), { text: 'No.', completion: { finishReason: 'content_filter' } })
  t.match(await ask(ofChoice({ message: { content: [{ type: 'text', text: 'Hi' }] }, finish_reason: 'STOP' })), { text: 'Hi', completion: { finishReason: 'stop' } })
  t.match(await ask(ofChoice({ message: { function_call: { name: 'look', arguments: '{}' } }, finish_reason: 'function_call' })), { completion: { toolCalls: [{ function: { name: 'look' } }] } })
  t.match(await ask(ofChoice({ message: { content: 'Hal' }, finish_reason: 'error' })), { error: { code: 'gateway_unavailable' } })
  t.match(await ask(ofChoice({ error: { code: 429, message: 'Slow down.' } })), { error: { code: 'gateway_rate_limited', reason: /Slow down/ } })
  t.match(await ask(whole({ object: 'error', message: 'Too long.', code: 400 })), { error: { code: 'gateway_rejected', reason: /Too long/ } })
  t.match(await ask(whole([{ error: { code: 503, message: 'Overloaded' } }])), { error: { code: 'gateway_unavailable', reason: /Overloaded/ } })
  t.match(await ask(whole({ detail: 'x', message: 'No such deployment.' })), { error: { code: 'gateway_unavailable', reason: /No such deployment/ } })
})

t.test('what has to go back with the results of tool calls', async t => {
  const { ask } = await setUp(t)
  const say = (delta: object) => frame({ choices: [{ index: 0, delta }] })
  const call = say({ tool_calls: [{ index: 0, id: 'a', function: { name: 'look', arguments: '{}', thought: 'x' }, extra_content: { google: { thought_signature: 's' } } }] })
  const stop = frame({ choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] })
  const extraOf = async (stream: string, mayCallTools = true) => (await ask(send(stream + stop), { mayCallTools })).completion!.extra

  t.test('is reasoning under the name that the gateway has for it, however its frames are read', async t => {
    const thoughts = (field: string) => Array.from({ length: 20 }, (_, n) => say({ [field]: `${n} ` })).join('')
    const text = Array.from({ length: 20 }, (_, n) => `${n} `).join('')
    for (const field of ['reasoning_content', 'reasoning']) t.same(await extraOf(thoughts(field) + call), { [field]: text })
  })

  t.test('is put together from its pieces: details by their index, texts in order, of objects the last', async t => {
    const detail = (fields: object) => say({ reasoning: 'Hm', reasoning_details: [{ type: 'reasoning.text', index: 0, format: 'f', ...fields }] })
    t.same(await extraOf(
      detail({ text: 'Hm', signature: null }) + detail({ text: 'Hm' }) + say({ reasoning_details: [{ type: 'reasoning.encrypted', index: 1, data: 'xyz' }] }) + detail({ text: '', signature: 'sig' }) +
      say({ extra_content: { google: { thought_signature: 'a' } } }) + say({ extra_content: { google: { thought_signature: 'b' } } }) + say({ thought_signature: 'ab' }) + say({ thought_signature: 'cd' }) + call
    ), {
      reasoning: 'HmHmHm',
      reasoning_details: [{ type: 'reasoning.text', index: 0, format: 'f', text: 'HmHm', signature: 'sig' }, { type: 'reasoning.encrypted', index: 1, data: 'xyz' }],
      extra_content: { google: { thought_signature: 'b' } },
      thought_signature: 'abcd'
    })
  })

  t.test('is complete though frames are the same, byte by byte', async t => {
    const same = say({ reasoning: 'Hm', reasoning_details: [{ type: 'reasoning.text', index: 0, text: 'Hm' }] })
    t.same(await extraOf(same.repeat(20) + call), { reasoning: 'Hm'.repeat(20), reasoning_details: [{ type: 'reasoning.text', index: 0, text: 'Hm'.repeat(20) }] })
  })

  t.test('keeps apart what has no index, unless it is one text', async t => {
    const block = (fields: object) => say({ thinking_blocks: [{ type: 'thinking', ...fields }] })
    const data = say({ reasoning_details: [{ type: 'reasoning.encrypted', data: 'x' }] })
    t.same(await extraOf(block({ thinking: 'a' }) + block({ thinking: 'b' }) + block({ thinking: '', signature: 's' }) + block({ thinking: 'c' }) + data + data + call), {
      thinking_blocks: [{ type: 'thinking', thinking: 'ab', signature: 's' }, { type: 'thinking', thinking: 'c' }],
      reasoning_details: [{ type: 'reasoning.encrypted', data: 'x' }, { type: 'reasoning.encrypted', data: 'x' }]
    })
  })

  t.test('counts once where every frame repeats it', async t => {
    const same = say({ extra_content: { google: { thought_signature: 'x'.repeat(10_000) } } })
    t.match(await extraOf(same.repeat(200) + call), { extra_content: { google: {} } })
  })

  t.test('is no thought that stands among the parts of the content', async t => {
    t.equal(await extraOf(say({ content: [{ type: 'thinking', thinking: 'Hm' }] }) + call), undefined)
  })

  t.test('is not kept of other fields, of turns without calls, nor where no tools are offered', async t => {
    t.equal(await extraOf(say({ annotations: [1], padding: 'x' }) + call), undefined)
    t.equal(await extraOf(say({ reasoning: 'Hm', reasoning_details: [{ index: 0 }] })), undefined)
    t.equal(await extraOf(say({ reasoning: 'Hm' }) + call, false), undefined)
  })

  t.test('stays with its call, on it and within its function', async t => {
    const { completion } = await ask(send(call + stop), { mayCallTools: true })
    t.match(completion!.toolCalls, [{ extra_content: { google: { thought_signature: 's' } }, function: { thought: 'x' } }])
  })
})

t.test('[DONE] ends an answer whose response stays open', async t => {
  const { ask } = await setUp(t)
  t.match(await ask(response => { openStream(response).write(frame({ choices: [{ index: 0, delta: { content: 'Hello' } }] }) + 'data: [DONE]\n\n') }), { text: 'Hello', completion: { finishReason: null } })
})

t.test('a turn whose calls would go back without all that belongs to them is a failure, and a final answer is none', async t => {
  const { ask } = await setUp(t)
  const long = frame({ choices: [{ index: 0, delta: { content: 'Hi', reasoning_details: [{ data: 'x'.repeat(70_000) }] } }] })
  const end = (finish_reason: string, delta = {}) => frame({ choices: [{ index: 0, delta, finish_reason }] })
  t.match(await ask(send(long + end('stop')), { mayCallTools: true }), { text: 'Hi', completion: { finishReason: 'stop' } })
  t.match(await ask(send(long + end('tool_calls', { tool_calls: [{ index: 0, id: 'a', function: { name: 'look', arguments: '{}' } }] })), { mayCallTools: true }), { error: { code: 'gateway_answer_too_long' } })
})
