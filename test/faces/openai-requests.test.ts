import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
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

  await t.test('repeated before the first one has arrived whole, on both addresses, and charged once', async t => {
    const bodies = { '/v1/chat/completions': { ...asked, messages: [{ role: 'user', content: 'Late' }] }, '/v1/responses': { model: DEMO_AGENT, input: 'Later' } }
    for (const [path, body] of Object.entries(bodies)) {
      const before = await service.credits()
      const late = await beginLate(service.url + path, JSON.stringify(body))
      const again = await fetch(service.url + path, { method: 'POST', headers: { ...PYTHON, 'x-stainless-retry-count': '1' }, body: JSON.stringify(body) })
      t.equal(again.status, 200, path)
      t.equal(await late.finish(), again.headers.get('x-run-id'), path)
      t.equal((await service.credits()).creditsRemaining, before.creditsRemaining - 1, path)
    }
  })
})

/** Sends a request of which the last byte is still missing. `finish` sends that, and resolves to the id of the run that answers. */
async function beginLate (url: string, body: string): Promise<{ finish (): Promise<string> }> {
  const sent = request(url, { method: 'POST', headers: { ...PYTHON, 'content-length': Buffer.byteLength(body), expect: '100-continue' } })
  const answered = once(sent, 'response')
  sent.flushHeaders()
  // The service has the head of the request.
  await once(sent, 'continue')
  sent.write(body.slice(0, -1))
  return {
    async finish () {
      sent.end(body.slice(-1))
      const [response] = await answered as [IncomingMessage]
      response.resume()
      return String(response.headers['x-run-id'])
    }
  }
}
