import t from 'tap'
import { fetchForTest } from '../packages/fetch.js'
import { delta, ending, openStream, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, OTHER_USER, type Service, startService } from '../support/helper.js'
import { ASKED, startClient } from './responses-client.js'

/** A face on which an answer is asked for by one POST. */
interface Face {
  path: string
  body (messages: object[]): object
  /** The name of the field with the messages. */
  field: string
  /** What an error says is wrong. */
  paths (body: any): string[]
}

const pathsOf = ({ details = [] }: any): string[] => details.map(({ path }: { path: string }) => path)
const paramOf = ({ error }: any): string[] => [error.param]

const FACES: Record<string, Face> = {
  execute: { path: '/api/agent/execute', body: messages => ({ agentId: DEMO_AGENT, messages }), field: 'messages', paths: pathsOf },
  'chat completions': { path: '/v1/chat/completions', body: messages => ({ model: DEMO_AGENT, messages }), field: 'messages', paths: paramOf },
  Responses: { path: '/v1/responses', body: messages => ({ model: DEMO_AGENT, input: messages }), field: 'input', paths: paramOf },
  'the AI SDK': {
    path: '/api/chat',
    body: (messages: any[]) => ({ agentId: DEMO_AGENT, messages: messages.map(({ content, ...message }) => ({ ...message, parts: [{ type: 'text', text: content }] })) }),
    field: 'messages',
    paths: pathsOf
  }
}
const HI = [{ role: 'user', content: 'Hi' }]

/** @param body bytes, of which `fetch` says no type by itself. */
async function post (service: Service, { path }: Face, body: string, headers: Record<string, string> = {}) {
  const response = await fetch(service.url + path, { method: 'POST', headers: { ...await bearer(), ...headers }, body: Buffer.from(body) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text }
}

for (const [name, face] of Object.entries(FACES)) {
  t.test(`${name}: bad requests`, async t => {
    const service = await startService(t)
    const { gateway } = service
    const before = await service.credits()

    await t.test('a body without a content type, or of one that programs name by themselves, is read if it is JSON', async t => {
      for (const type of [undefined, 'text/plain;charset=UTF-8', 'application/x-www-form-urlencoded']) {
        const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type }
        t.equal((await post(service, face, JSON.stringify(face.body(HI)), headers)).status, 200, type ?? 'none')
        const { status, body } = await post(service, face, 'agentId=1&messages=Hi', headers)
        t.match([status, JSON.stringify(body)], [415, /unsupported_media_type/], `${type ?? 'none'}, and no JSON`)
      }
      t.match(await post(service, face, '', { 'content-type': 'application/json' }), { status: 400 }, 'no body at all')
    })

    await t.test('a role that nobody knows, and a result without a call, are refused where they stand', async t => {
      const calls = gateway.calls.length
      const wrong: Array<[message: object, path: RegExp]> = [
        [{ role: 'narrator', content: 'Once' }, /\.0\.role$/],
        [{ role: 5, content: 'Once' }, /\.0\.role$/],
        [{ content: 'Once' }, /\.0\.role$/],
        [{ role: 'tool', content: 'found', tool_call_id: 'c1' }, /\.0\.(role|tool_call_id)$/]
      ]
      for (const [message, path] of wrong) {
        const { status, body } = await post(service, face, JSON.stringify(face.body([message, ...HI])), { 'content-type': 'application/json' })
        t.equal(status, 400, JSON.stringify(message))
        t.ok(face.paths(body).some(said => said.startsWith(`${face.field}.`) && path.test(said)), `${face.paths(body)}`)
        t.notMatch(JSON.stringify(body), /node_modules|\.ts:|at \w+ \(/, 'no stack')
      }
      t.equal(gateway.calls.length, calls, 'no model was asked')
    })

    const { creditsRemaining, creditsReserved } = await service.credits()
    t.same([creditsReserved, before.creditsRemaining - creditsRemaining], [0, gateway.calls.length], 'what was answered is charged, and what was refused is not')
  })
}

t.test('who repeats 409 without end begins nothing, and holds nobody up', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '50' })
  const { gateway } = service
  let finish = () => {}
  const asked = gateway.nextCall()
  gateway.reply = response => {
    openStream(response).write(delta('Hello'))
    finish = () => { response.end(delta(' world') + ending()) }
  }
  const { body: { id } } = await post(service, FACES.Responses!, JSON.stringify({ ...ASKED, background: true }))
  await asked
  gateway.reply = say('Hello')
  const body = JSON.stringify({ ...ASKED, previous_response_id: id })
  const statuses: number[] = []
  for (let n = 0; n < 100; n++) statuses.push((await post(service, FACES.Responses!, body)).status)
  t.same([...new Set(statuses)], [409, 429], 'until it has asked too often')
  t.equal(gateway.calls.length, 1, 'no other run has begun')
  t.equal((await post(service, FACES.Responses!, JSON.stringify(ASKED), await bearer(OTHER_USER))).status, 200, 'others are answered')
  finish()
})

t.test('who repeats 429 without end is answered by the door, until it has waited', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '5' })
  const { gateway } = service
  const answers = await Promise.all(Array.from({ length: 300 }, () => post(service, FACES['chat completions']!, JSON.stringify(FACES['chat completions']!.body(HI)))))
  const refused = answers.filter(({ status }) => status === 429)
  t.same([refused.length, gateway.calls.length], [295, 5], 'each is answered, or refused before anything is done')
  for (const { headers, body } of refused.slice(0, 20)) {
    t.match(body, { error: { type: 'rate_limit_error', code: 'rate_limit_exceeded', message: String } })
    t.ok(Number(headers.get('retry-after')) >= 1)
  }
  t.equal((await post(service, FACES['chat completions']!, JSON.stringify(FACES['chat completions']!.body(HI)), await bearer(OTHER_USER))).status, 200, 'others are answered')
  t.equal((await service.credits(OTHER_USER)).creditsReserved, 0)
})

t.test('OpenAI\'s package repeats what it is told to repeat, and nothing else', async t => {
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return
  const service = await startService(t, { RATE_LIMIT_MAX: '3', RATE_LIMIT_WINDOW: '2000' })
  const use = startClient(t, directory, 'openai-6', service.url)
  let requests = 0
  service.app.server.on('request', () => { requests++ })
  const all = await Promise.all(Array.from({ length: 6 }, () => use('create', ASKED, { maxRetries: 20 })))
  t.same(all.map(({ error, result }) => error ?? result.status), Array(6).fill('completed'), 'who waits as long as it is told to is answered in the end')
  t.ok(requests > 6 && requests < 60, `${requests} requests for 6 answers`)
})
