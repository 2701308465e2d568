import t from 'tap'
import { contentOf, endingOf, errorOfFrame, hasImage, modelOf, reasoningOf, toolCallsOf, usageOf } from '#shared/gateway/frames.ts'
import { SPELLINGS } from '../support/gateway-answers.js'

t.test('the parts of a frame count only if they are text', async t => {
  t.equal(contentOf({ content: 'Hi' }), 'Hi')
  t.equal(reasoningOf({ reasoning_content: 'Hm.', reasoning: 'not this' }), 'Hm.')
  t.equal(reasoningOf({ reasoning_content: null, reasoning: 'Hm.' }), 'Hm.')
  t.same(endingOf({ finish_reason: 'stop' }), { reason: 'stop', kind: 'known' })
  t.equal(modelOf({ model: 'a/model' }), 'a/model')
  for (const nothing of [undefined, null, {}, 7, [], { content: 7, reasoning: {}, finish_reason: null, model: [] }]) {
    t.same([contentOf(nothing), reasoningOf(nothing), endingOf(nothing), modelOf(nothing), toolCallsOf(nothing), hasImage(nothing)], ['', '', undefined, '', undefined, false])
  }
})

t.test('a finish reason is one of the protocol\'s, unknown, a failure, or none', async t => {
  for (const [spelling, reason] of SPELLINGS) t.same(endingOf({ finish_reason: spelling }), { reason, kind: 'known' }, spelling)
  for (const failure of ['error', 'network_error', 'insufficient_system_resource', 'abort', 'MALFORMED_FUNCTION_CALL', 'UNEXPECTED_TOOL_CALL']) {
    t.same(endingOf({ finish_reason: failure }), { reason: failure, kind: 'failure' })
  }
  for (const none of ['', ' ', 'null', 'None', 'FINISH_REASON_UNSPECIFIED', null, undefined, 0, 1, true, {}, ['stop']]) t.equal(endingOf({ finish_reason: none }), undefined, JSON.stringify(none))
  t.same(endingOf({ finish_reason: 'bored' }), { reason: 'bored', kind: 'unknown' })
})

t.test('text, reasoning, calls and images are found where gateways put them', async t => {
  t.equal(contentOf({ content: null, refusal: 'No.' }), 'No.')
  t.equal(contentOf({ content: [{ type: 'text', text: 'a' }, { type: 'output_text', text: 'b' }, null, 7, { type: 'thinking', text: 'c' }, { type: 'text', text: 7 }] }), 'ab')
  t.equal(reasoningOf({ content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'a' }, null] }, { type: 'reasoning', reasoning: 'b' }, { type: 'text', text: 'c' }] }), 'ab')
  t.equal(reasoningOf({ reasoning_content: '', reasoning: 'Hm.' }), 'Hm.')
  t.same(toolCallsOf({ function_call: { name: 'look' } }), [{ index: 0, function: { name: 'look' } }])
  t.same(toolCallsOf({ tool_calls: [{ index: 1 }], function_call: { name: 'look' } }), [{ index: 1 }], 'that of the protocol counts')
  for (const none of [{ tool_calls: [] }, { function_call: null }, { tool_calls: 'x' }]) t.equal(toolCallsOf(none), undefined)
  t.same([hasImage({ images: [{}] }), hasImage({ content: [{ type: 'image_url' }] }), hasImage({ images: [] }), hasImage({ content: 'image' })], [true, true, false, false])
})

t.test('the error of a frame has the status that it names, by its code or its status', async t => {
  for (const [error, code, statusCode] of [
    [{ code: 429 }, 'gateway_rate_limited', 429],
    [{ code: 'server_error', status: '402' }, 'gateway_payment_required', 503],
    [{ code: 400, message: 'No.' }, 'gateway_rejected', 422],
    [{ code: 200 }, 'gateway_unavailable', 502],
    [{}, 'gateway_unavailable', 502]
  ] as const) {
    t.match(errorOfFrame(error), { code, statusCode }, JSON.stringify(error))
  }
  t.match(errorOfFrame({ code: 400, message: 'No.' }), { message: 'The model does not accept this request.', reason: 'the AI gateway answered 400: No.' })
})

t.test('names, usage and errors of a gateway are kept to their limits', async t => {
  t.equal(modelOf({ model: 'm'.repeat(1_000_000) }).length, 200)
  t.equal(endingOf({ finish_reason: `\0${'f'.repeat(1_000_000)}` })!.reason.length, 200)
  t.same(usageOf({ usage: { prompt_tokens: 1, completion_tokens: 2, more: 'x'.repeat(1_000_000) } }), { prompt_tokens: 1, completion_tokens: 2, total_tokens: undefined })
  for (const usage of [null, undefined, 5, 'text']) t.equal(usageOf({ usage }), undefined)
  t.ok(errorOfFrame({ message: 'e'.repeat(16_000_000) }).reason!.length < 1_100)
  t.equal(errorOfFrame({ message: ['e'] }).reason, 'the AI gateway answered 502')
})
