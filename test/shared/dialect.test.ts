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

t.test('a gateway that knows no role of developers is sent system messages, for that run alone', async t => {
  const body: ChatRequest = { model: 'm', messages: [{ role: 'developer', content: 'A' }, { role: 'user', content: 'B' }], stream: true, max_tokens: 5 }
  const refusals: Array<[string, string?]> = [
    ["Input tag 'developer' found using 'role' does not match any of the expected tags: 'system', 'user'"],
    ["Unsupported value: 'messages[0].role' does not support 'developer' with this model.", 'messages[0].role'],
    ['Invalid value', 'messages.0.role']
  ]
  for (const [text, param] of refusals) {
    const dialects = new Dialects()
    const name = dialects.learn(body, new Refusal(400, { text, param }))
    t.equal(name, 'developer', text)
    const spoken = dialects.speak(body, [name!])
    t.strictSame(spoken.messages, [{ role: 'system', content: 'A' }, { role: 'user', content: 'B' }])
    t.equal(dialects.learn(spoken, new Refusal(400, { text, param })), undefined, 'once')
    t.strictSame(dialects.speak(body).messages, body.messages)
  }
  t.equal(new Dialects().learn({ ...body, messages: [{ role: 'user', content: 'B' }] }, new Refusal(400, { text: 'no such role' })), undefined)
})
