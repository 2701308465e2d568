import t from 'tap'
import { contentOf, errorOfFrame, finishReasonOf, modelOf, reasoningOf, usageOf } from '#shared/gateway/frames.ts'

t.test('the parts of a frame count only if they are text', async t => {
  t.equal(contentOf({ content: 'Hi' }), 'Hi')
  t.equal(reasoningOf({ reasoning_content: 'Hm.', reasoning: 'not this' }), 'Hm.')
  t.equal(reasoningOf({ reasoning_content: null, reasoning: 'Hm.' }), 'Hm.')
  t.equal(finishReasonOf({ finish_reason: 'stop' }), 'stop')
  t.equal(modelOf({ model: 'a/model' }), 'a/model')
  for (const nothing of [undefined, null, {}, 7, [], { content: 7, reasoning: {}, finish_reason: null, model: [] }]) {
    t.same([contentOf(nothing), reasoningOf(nothing), finishReasonOf(nothing), modelOf(nothing)], ['', '', undefined, ''])
  }
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
  t.equal(finishReasonOf({ finish_reason: `\0${'f'.repeat(1_000_000)}` })!.length, 200)
  t.same(usageOf({ usage: { prompt_tokens: 1, completion_tokens: 2, more: 'x'.repeat(1_000_000) } }), { prompt_tokens: 1, completion_tokens: 2, total_tokens: undefined })
  for (const usage of [null, undefined, 5, 'text']) t.equal(usageOf({ usage }), undefined)
  t.ok(errorOfFrame({ message: 'e'.repeat(16_000_000) }).reason!.length < 1_100)
  t.equal(errorOfFrame({ message: ['e'] }).reason, 'the AI gateway answered 502')
})
