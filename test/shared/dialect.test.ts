import t from 'tap'
import { type ChatRequest, Dialects } from '#shared/gateway/dialect.ts'
import { readErrorBody, Refusal } from '#shared/gateway/refusals.ts'

const BODY: ChatRequest = { model: 'a/model', messages: [], stream: true, stream_options: { include_usage: true }, temperature: 0.7, max_tokens: 1000 }
const REFUSAL = new Refusal(400, readErrorBody(JSON.stringify({ error: { message: 'no', param: 'temperature', code: 'unsupported_parameter' } })))
const HOUR = 60 * 60_000

t.test('what a refusal has taught is forgotten after an hour', async t => {
  let now = 0
  const dialects = new Dialects(() => now)
  t.equal(dialects.learn(BODY, REFUSAL), 'temperature')
  now = HOUR - 1
  t.notOk('temperature' in dialects.speak(BODY))
  now = HOUR
  t.strictSame(dialects.speak(BODY), BODY)
})

t.test('of a thousand models something is known, and of the one that was learned of first nothing more', async t => {
  const dialects = new Dialects(() => 0)
  const bodies = Array.from({ length: 1001 }, (_, number) => ({ ...BODY, model: `model ${number}` }))
  for (const body of bodies) dialects.learn(body, REFUSAL)
  t.same(bodies.filter(body => 'temperature' in dialects.speak(body)).map(({ model }) => model), ['model 0'])
})

t.test('an error body without a field for the parameter names none', async t => {
  for (const body of ['', 'temperature', 'null', '[]', '"temperature"', '{"error":"temperature"}', '{"error":{"param":null}}', '{"error":{"param":"None"}}',
    '{"error":{"param":7}}', '{"detail":"temperature"}', '{"detail":[null,{"loc":["query","temperature"]},{"loc":"temperature"}]}', '{"error":{"details":[{}]}}']) {
    t.equal(readErrorBody(body).param, undefined, body)
  }
})
