import t from 'tap'
import { DEMO_AGENT, DEMO_KEY, startService } from '../support/helper.js'

// Python's package cannot be had here: these are its requests, with the headers that it sends.
const PYTHON = {
  accept: 'application/json',
  'content-type': 'application/json',
  'user-agent': 'OpenAI/Python 2.8.0',
  authorization: `Bearer ${DEMO_KEY}`,
  'x-stainless-lang': 'python',
  'x-stainless-async': 'false',
  'x-stainless-retry-count': '0',
  'x-stainless-read-timeout': '600'
}

t.test('what Python\'s package sends is answered as it reads it', async t => {
  const service = await startService(t)
  const post = async (body: object, headers: Record<string, string> = {}) => fetch(`${service.url}/v1/chat/completions`, {
    method: 'POST', headers: { ...PYTHON, ...headers }, body: JSON.stringify(body)
  })
  const asked = { messages: [{ role: 'user', content: 'Hello' }], model: DEMO_AGENT }

  await t.test('as a whole', async t => {
    const answer = await post(asked)
    t.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8')
    t.match(await answer.json(), { object: 'chat.completion', choices: [{ message: { role: 'assistant', content: 'Hello world' } }] })
  })

  await t.test('streamed', async t => {
    const raw = await (await post({ ...asked, stream: true })).text()
    t.match(raw, /^data: \{"id":"chatcmpl-/)
    t.match(raw, /\n\ndata: \[DONE\]\n\n$/)
  })

  await t.test('repeated', async t => {
    const body = { ...asked, messages: [{ role: 'user', content: 'Once' }] }
    const first = await post(body)
    const second = await post(body, { 'x-stainless-retry-count': '1' })
    t.equal(second.headers.get('x-run-id'), first.headers.get('x-run-id'))
    t.not((await post(body)).headers.get('x-run-id'), first.headers.get('x-run-id'), 'what is no repetition is a run of its own')
    const keyed = async (key: string, count: string) => (await post(body, { 'idempotency-key': key, 'x-stainless-retry-count': count })).headers.get('x-run-id')
    const other = await keyed('b', '1')
    t.not(other, await keyed('a', '0'), 'nor is an equal request with a key of its own')
    t.equal(await keyed('b', '2'), other)
  })
})
