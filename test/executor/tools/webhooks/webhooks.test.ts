import { Webhook, WebhookVerificationError } from 'standardwebhooks'
import t, { type Test } from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import { makeWebhook } from '../../../../src/executor/tools/webhooks/webhook-call.js'
import { Webhooks, type WebhooksOptions } from '../../../../src/executor/tools/webhooks/webhooks.js'
import { AGENT, createContext, failureOf, fn, openOutbound, type ReceivedRequest, respond, startServer } from '../../../support/tools.js'

const secretOf = (key: Buffer): string => `whsec_${key.toString('base64')}`
const SECRET = secretOf(Buffer.alloc(32, 'k'))

interface Opened { webhooks: Webhooks, waits: number[], logged: Array<Record<string, unknown>>, settled (count?: number): Promise<void> }

/** Webhooks whose waits are over at once, and noted. */
function open (t: Test, options: Partial<WebhooksOptions> = {}): Opened {
  const waits: number[] = []
  const logged: Array<Record<string, unknown>> = []
  let wake = () => {}
  const webhooks = new Webhooks({
    outbound: openOutbound(t),
    log: (message, fields) => { logged.push({ message, ...fields }); wake() },
    wait: async ms => { waits.push(ms) },
    ...options
  })
  t.teardown(() => webhooks.close(0))
  const settled = async (count = 1) => { while (logged.length < count) await new Promise<void>(resolve => { wake = resolve }) }
  return { webhooks, waits, logged, settled }
}

function callOf (t: Test, url: string, config: Record<string, unknown> = {}, fields: Partial<AgentFunction> = {}) {
  const context = createContext(t)
  return makeWebhook(fn('webhook', { webhook_url: url, ...config }, fields), { content: 'asked', agent_id: AGENT }, context)
}

/** Verifies a webhook as its receiver does, with the package of the standard. @returns its payload; undefined if it is not authentic. */
function verify ({ headers, body }: Pick<ReceivedRequest, 'headers' | 'body'>, secret: string): unknown {
  try {
    return new Webhook(secret).verify(body, headers as Record<string, string>)
  } catch (error) {
    if (error instanceof WebhookVerificationError) return undefined
    throw error
  }
}

t.test('a webhook is delivered once, as JSON and signed by the standard', async t => {
  const server = await startServer(t, respond(204))
  const { webhooks, waits, logged, settled } = open(t)
  const before = Math.floor(Date.now() / 1000)
  const call = callOf(t, `${server.url}/private/path?token=secret-word`, { secret: SECRET, payload_template: '{"r": "{{response}}"}' })
  t.equal(webhooks.send(call, 'an "answer" ü'), true)
  await settled()
  const [asked] = server.requests as [ReceivedRequest]
  t.match(asked, { method: 'POST', url: '/private/path?token=secret-word', headers: { 'content-type': 'application/json', 'webhook-id': call.id } })
  t.same(JSON.parse(asked.body), { r: 'an "answer" ü' })
  const timestamp = Number(asked.headers['webhook-timestamp'])
  t.ok(timestamp >= before && timestamp <= Date.now() / 1000, 'seconds')
  t.same(verify(asked, SECRET), { r: 'an "answer" ü' })
  t.equal(verify(asked, secretOf(Buffer.alloc(32, 'x'))), undefined)
  t.equal(verify({ ...asked, body: asked.body.replace('an', 'no') }, SECRET), undefined)
  t.equal(verify({ ...asked, headers: { ...asked.headers, 'webhook-timestamp': `${timestamp - 1}` } }, SECRET), undefined)
  t.equal(verify({ ...asked, headers: { ...asked.headers, 'webhook-id': 'msg_other' } }, SECRET), undefined)
  t.same(waits, [])
  t.same(logged, [{ message: 'webhook delivered', webhookId: call.id, agentId: AGENT, host: `127.0.0.1:${server.port}`, tries: 1 }])
  t.notMatch(JSON.stringify(logged), /secret-word|answer|private/)
})

t.test('a hundred webhooks under way at once are no leak to Node', async t => {
  const warnings: Error[] = []
  const note = (warning: Error) => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const answers: Array<() => void> = []
  const server = await startServer(t, response => {
    answers.push(() => { response.writeHead(204).end() })
    if (answers.length === 20) for (const answer of answers) answer()
    else if (answers.length > 20) answers.at(-1)!()
  })
  const { webhooks, settled } = open(t)
  for (let n = 0; n < 100; n++) webhooks.send({ ...callOf(t, server.url), agentId: `agent ${n}`, userId: `user ${n}` }, 'Hi')
  await settled(100)
  t.same(warnings, [])
  t.equal(server.requests.length, 100)
})

t.test('a function\'s own secret wins over the configured one, and without either nothing is signed', async t => {
  const server = await startServer(t, respond(200))
  const configured = secretOf(Buffer.alloc(24, 'c'))
  const { webhooks, settled } = open(t, { secret: configured })
  webhooks.send(callOf(t, server.url, { secret: SECRET }), 'x')
  await settled(1)
  webhooks.send(callOf(t, server.url), 'x')
  await settled(2)
  const plain = open(t)
  plain.webhooks.send(callOf(t, server.url, { secret: ' ' }), 'x')
  await plain.settled()
  t.ok(verify(server.requests[0]!, SECRET))
  t.ok(verify(server.requests[1]!, configured))
  t.notOk('webhook-signature' in server.requests[2]!.headers)
  t.ok(server.requests[2]!.headers['webhook-id'])
})

t.test('the example of the standard is signed as the standard says', async t => {
  const { webhookHeaders } = await import('#shared/functions/webhook.ts')
  const headers = webhookHeaders('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  t.equal(headers['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})

t.test('a secret has 24 to 64 bytes, and a receiver verifies what is signed with any of them', async t => {
  const server = await startServer(t, respond(200))
  const { webhooks, settled } = open(t)
  const sign = async (secret: string) => {
    const count = server.requests.length + 1
    webhooks.send(callOf(t, server.url, { secret }), 'x')
    await settled(count)
    return server.requests.at(-1)!
  }
  for (const length of [24, 25, 26, 64]) {
    const secret = secretOf(Buffer.alloc(length, 0xfb))
    t.ok(verify(await sign(secret), secret), `${length} bytes`)
    t.ok(verify(await sign(secret.replace(/=+$/, '')), secret), 'without padding')
  }
  for (const secret of [secretOf(Buffer.alloc(23)), secretOf(Buffer.alloc(65)), Buffer.alloc(32).toString('base64'), `${SECRET}\u00fc`, 'whsec_']) {
    t.equal(await failureOf(() => callOf(t, server.url, { secret })), 'The function\'s secret must be whsec_ and 24 to 64 bytes in base64.')
  }
})

t.test('what fails is tried again by the schedule, with the same id and a new signature', async t => {
  const server = await startServer(t, (response, asked, number) => respond(number < 4 ? 500 : 200)(response, asked, number))
  const { webhooks, waits, logged, settled } = open(t)
  webhooks.send(callOf(t, server.url, { secret: SECRET }), 'x')
  await settled()
  t.same(waits, [5_000, 30_000, 300_000])
  t.equal(server.requests.length, 4)
  t.equal(new Set(server.requests.map(({ headers }) => headers['webhook-id'])).size, 1)
  t.ok(server.requests.every(asked => verify(asked, SECRET)))
  t.match(logged, [{ message: 'webhook delivered', tries: 4 }])
})

t.test('after the last try it is given up', async t => {
  const server = await startServer(t, respond(503))
  const { webhooks, logged, settled } = open(t)
  webhooks.send(callOf(t, server.url), 'x')
  await settled()
  t.equal(server.requests.length, 4)
  t.match(logged, [{ message: 'webhook not delivered', reason: 'status 503' }])
})

t.test('a redirect is a failure and is not followed; 410 stops; so does an address that may not be reached', async t => {
  const inside = await startServer(t, respond(200))
  const server = await startServer(t, (response, { url }) => { response.writeHead(Number(url.slice(1)), { location: inside.url }).end() })
  const { webhooks, waits, logged, settled } = open(t)
  webhooks.send(callOf(t, `${server.url}/302`), 'x')
  await settled(1)
  t.equal(server.requests.length, 4)
  t.match(logged[0], { message: 'webhook not delivered', reason: 'status 302' })
  webhooks.send(callOf(t, `${server.url}/410`), 'x')
  await settled(2)
  t.equal(server.requests.length, 5)
  t.match(logged[1], { reason: 'status 410' })
  webhooks.send(callOf(t, `http://127.0.0.2:${inside.port}`), 'x')
  await settled(3)
  t.match(logged[2], { reason: /not at a public address/ })
  t.equal(waits.length, 3)
  t.equal(inside.requests.length, 0)
})

t.test('a receiver that is not there is tried again', async t => {
  const { webhooks, waits, logged, settled } = open(t, { outbound: openOutbound(t, { lookup: async () => [{ address: '127.0.0.1', family: 4 }], privateHosts: [{ host: 'gone.example' }] }) })
  webhooks.send(callOf(t, 'http://gone.example:9/'), 'x')
  await settled()
  t.equal(waits.length, 3)
  t.match(logged, [{ message: 'webhook not delivered', host: 'gone.example:9', reason: /cannot be reached/ }])
})

t.test('Retry-After is honoured in seconds and as a date, up to ten minutes, and never shortens the schedule', async t => {
  const values = ['20', new Date(Date.now() + 120_000).toUTCString(), '86400', 'soon']
  const server = await startServer(t, (response, asked, number) => respond(429, {}, { 'retry-after': values[number - 1]! })(response, asked, number))
  const { webhooks, waits, settled } = open(t)
  webhooks.send(callOf(t, server.url), 'x')
  await settled()
  t.equal(waits[0], 20_000)
  t.ok(waits[1]! > 110_000 && waits[1]! <= 120_000)
  t.equal(waits[2], 600_000)
  const hasty = await startServer(t, respond(429, {}, { 'retry-after': '0' }))
  const other = open(t)
  other.webhooks.send(callOf(t, hasty.url), 'x')
  await other.settled()
  t.same(other.waits, [5_000, 30_000, 300_000])
})

t.test('without an answer only those go out that do not wait for one', async t => {
  const server = await startServer(t, respond(200))
  const { webhooks, settled } = open(t)
  t.equal(webhooks.send(callOf(t, server.url, { trigger_event: 'on_response' }), null), false)
  t.equal(webhooks.send(callOf(t, server.url, { trigger_event: 'always', payload_template: '{"r": "{{response}}"}' }), null), true)
  await settled()
  t.same(server.requests.map(({ body }) => body), ['{"r": ""}'])
})

t.test('no more are outstanding than allowed, in all and of one agent', async t => {
  const server = await startServer(t, () => {})
  const { webhooks, logged } = open(t, { maxOutstanding: 3, maxOutstandingOfAgent: 2 })
  const of = (agentId: string) => ({ ...callOf(t, server.url), agentId })
  t.same(['a', 'a', 'a', 'b', 'b'].map(agent => webhooks.send(of(agent), 'x')), [true, true, false, true, false])
  t.match(logged, [{ agentId: 'a', reason: 'too many of this agent are outstanding' }, { agentId: 'b', reason: 'too many are outstanding' }])
})

t.test('what one user sends is not counted against another', async t => {
  const server = await startServer(t, () => {})
  const { webhooks, logged } = open(t, { maxOutstanding: 20, maxOutstandingOfAgent: 10, maxOutstandingBytes: 4_000 })
  const send = (userId: string, agentId = userId, response = 'x') => webhooks.send({ ...callOf(t, server.url, { payload_template: '"{{response}}"' }), agentId, userId }, response)
  const sent = (count: number, userId: string, agentId?: string) => Array.from({ length: count }, () => send(userId, agentId)).filter(Boolean).length
  t.equal(sent(30, 'a', 'popular'), 10)
  t.equal(send('b', 'popular'), true, 'of the same agent')
  t.equal(sent(30, 'a', 'another'), 9, 'until there are as many as may be')
  t.equal(send('c'), true)
  t.same([send('d', 'd', 'x'.repeat(900)), send('d', 'd', 'x'.repeat(900)), send('e', 'e', 'x'.repeat(300))], [true, false, true], 'a quarter of the bytes is the most that one user has')
  t.ok(logged.length > 0 && logged.every(({ reason }) => /outstanding/.test(reason as string)))
})

t.test('their payloads are no more bytes than allowed, and what is delivered makes room', async t => {
  const server = await startServer(t, respond(200))
  const { webhooks, logged, settled } = open(t, { maxOutstandingBytes: 400 })
  const send = () => webhooks.send(callOf(t, server.url, { payload_template: '{"r": "{{response}}"}' }), 'ü'.repeat(40))
  t.same([send(), send()], [true, false])
  t.match(logged, [{ message: 'webhook not delivered', reason: 'too much is outstanding' }])
  await settled(2)
  await new Promise(resolve => { setImmediate(resolve) })
  t.equal(send(), true)
  await settled(3)
})

t.test('at shutdown what is being sent gets a short time, and what was not delivered is logged by id and host', async t => {
  const release: Array<() => void> = []
  const server = await startServer(t, (response, { url }) => {
    if (url === '/slow') release.push(() => response.end())
    if (url === '/fails') response.writeHead(500).end()
  })
  let waiting = () => {}
  const isWaiting = new Promise<void>(resolve => { waiting = resolve })
  const wait = (_ms: number, signal: AbortSignal) => new Promise<void>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason))
    waiting()
  })
  const { webhooks, logged } = open(t, { wait })
  const fails = callOf(t, `${server.url}/fails`)
  webhooks.send(fails, 'x')
  await isWaiting
  let arrived = server.next()
  const slow = callOf(t, `${server.url}/slow`)
  webhooks.send(slow, 'x')
  await arrived
  arrived = server.next()
  const never = callOf(t, `${server.url}/never`)
  webhooks.send(never, 'x')
  await arrived
  const closed = webhooks.close(200)
  t.equal(webhooks.send(callOf(t, server.url), 'x'), false, 'nothing more is taken on')
  release[0]!()
  await closed
  const outcome = Object.fromEntries(logged.map(({ webhookId, message, reason }) => [webhookId, [message, reason]]))
  t.same(outcome[fails.id], ['webhook not delivered', 'status 500'])
  t.same(outcome[slow.id], ['webhook delivered', undefined])
  t.same(outcome[never.id], ['webhook not delivered', 'shutting down'])
  t.equal(server.requests.length, 3)
})

t.test('an answer for which the template makes too much is logged, and thrown at nobody', async t => {
  const server = await startServer(t, respond(200))
  const { webhooks, logged } = open(t)
  t.equal(webhooks.send(callOf(t, server.url, { payload_template: '["{{response}}","{{response}}"]' }), 'x'.repeat(3_000_000)), false)
  t.match(logged, [{ message: 'webhook not delivered', reason: /too large/ }])
})

t.test('what has arrived is counted, and what never will, be it refused at once', async t => {
  const server = await startServer(t, respond(204))
  const refusing = await startServer(t, respond(410))
  const { webhooks, settled } = open(t, { maxOutstanding: 2 })
  webhooks.send(callOf(t, server.url), 'an answer')
  webhooks.send(callOf(t, refusing.url), 'an answer')
  t.equal(webhooks.outstanding, 2)
  webhooks.send(callOf(t, server.url), 'one too many')
  await settled(3)
  t.same(new Map(webhooks.ended.counts.map(({ labels: { result }, count }) => [result, count])), new Map([['delivered', 1], ['failed', 2]]))
})
