import { connect } from 'node:net'
import t from 'tap'
import { say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, startService } from '../support/helper.js'
import { until } from '../support/until.js'

const LONG = 20_000

t.test('what clients of Responses are told again takes memory that is counted, or is short', async t => {
  const service = await startService(t)
  const { app: { memory }, gateway, request, url } = service
  gateway.reply = say('{"a":1}')
  const ask = (body: object) => request('POST', '/v1/responses', { body: { model: DEMO_AGENT, input: 'Hi', ...body } })

  t.test('long instructions and schemas reach the model, and are not told again', async t => {
    const format = { type: 'json_schema', name: 'answer', schema: { type: 'object', description: 'x'.repeat(LONG) } }
    const { status, body } = await ask({ instructions: 'y'.repeat(LONG), text: { format } })
    t.equal(status, 200)
    t.match(body, { status: 'completed', instructions: null, text: { format: { type: 'json_schema', schema: undefined } } })
    const { messages, response_format: sent } = gateway.calls.at(-1)!.body
    t.match(messages.at(-2), { role: 'system', content: 'y'.repeat(LONG) })
    t.same(sent.json_schema.schema, format.schema)
    const short = await ask({ instructions: 'Be short.', text: { format: { ...format, schema: { type: 'object' } } } })
    t.match(short.body, { instructions: 'Be short.', text: { format: { name: 'answer', schema: { type: 'object' } } } })
  })

  t.test('names of metadata have at most 64 characters, as OpenAI has it', async t => {
    t.match(await ask({ metadata: { ['k'.repeat(64)]: 'v' } }), { status: 200 })
    t.match(await ask({ metadata: { ['k'.repeat(65)]: 'v' } }), { status: 400, body: { error: { message: String } } })
  })

  t.test('items of an input are counted until the client has taken them or has gone', async t => {
    const { body: { id } } = await ask({ input: 'z'.repeat(9_000_000) })
    await until(async () => memory.arriving.used, used => used === 0)
    const headers = Object.entries(await bearer()).map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(`GET /v1/responses/${id}/input_items HTTP/1.1\r\nhost: test\r\n${headers}\r\n`)
    // It reads the beginning, and no more.
    await new Promise(resolve => socket.once('readable', resolve))
    t.ok(memory.arriving.used >= 9_000_000)
    socket.destroy()
    await until(async () => memory.arriving.used, used => used === 0)
    t.match((await request('GET', `/v1/responses/${id}/input_items`)).body.data[0].content[0].text.length, 9_000_000)
    await until(async () => memory.arriving.used, used => used === 0)
  })
})
