import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { otherBases, readBaseUrl } from '#shared/gateway/base-url.ts'
import { causeCodeOf } from '#shared/gateway/cause-code.ts'
import { Gateway } from '../../../src/executor/gateway/gateway.js'
import type { GatewayNews } from '../../../src/executor/gateway/health.js'
import { Cancellation } from '../../../src/lib/cancellation.js'
import { type GatewayDouble, refuse, type Reply, say, startGateway } from '../../support/doubles/gateway.js'

function connect (t: Test, url: string) {
  const news: GatewayNews[] = []
  let wake = () => {}
  const gateway = new Gateway({ url, key: 'a-key', model: 'm', modelIsChosen: true, onNews: item => { news.push(item); wake() } })
  t.teardown(() => gateway.close())
  const request = { messages: [{ role: 'user' as const, content: 'Hi' }], temperature: 0, maxTokens: 1 }
  return {
    news,
    current: () => gateway.health.current(),
    get last () { return gateway.health.last },
    complete: () => gateway.complete(request, { text () {}, reasoning () {} }, new Cancellation()).then(() => undefined, error => error),
    /** Resolves when so many things were told. */
    async told (count: number) {
      while (news.length < count) await new Promise<void>(resolve => { wake = resolve })
      return news
    }
  }
}

const hangUp: Reply = response => { response.socket!.destroy() }

/** Answers GET by path: a status, or a list of models. */
function answers (double: GatewayDouble, byPath: Record<string, number | object | string>): void {
  double.onGet = (response, path) => {
    const answer = byPath[path] ?? 404
    if (typeof answer === 'number') response.writeHead(answer).end()
    else if (typeof answer === 'string') response.writeHead(200, { 'content-type': 'text/html' }).end(answer)
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  }
}

const MODELS = { data: [{ id: 'm' }] }

t.test('a gateway that lists its models is up, and one that refuses the key is not', async t => {
  const double = await startGateway(t)
  for (const [answer, state] of [[MODELS, 'up'], [401, 'refused'], [403, 'refused'], [404, 'up'], [500, 'up']] as const) {
    answers(double, { '/v1/models': answer })
    const gateway = connect(t, double.url)
    t.equal(gateway.last, 'down', 'before it is asked')
    t.equal(await gateway.current(), state, JSON.stringify(answer))
    t.equal(gateway.last, state)
    if (state === 'refused') t.match(gateway.news, [{ state, status: answer, message: `the AI gateway refuses the key (${answer}): see LOVABLE_API_KEY and AI_GATEWAY_URL` }])
    else t.same(gateway.news, [], 'nothing is told of what works')
  }
})

t.test('the last state is what the last completion has shown, or what was asked for since', async t => {
  const double = await startGateway(t)
  answers(double, { '/v1/models': MODELS })
  const gateway = connect(t, double.url)
  for (const [reply, state] of [[say('Hello'), 'up'], [refuse(401, 'Invalid API key'), 'refused'], [refuse(500, 'no'), 'up'], [hangUp, 'down'], [say('Hello'), 'up'], [hangUp, 'down']] as const) {
    double.reply = reply
    await gateway.complete()
    t.equal(gateway.last, state)
  }
  t.equal(await gateway.current(), 'up')
  t.equal(gateway.last, 'up')
})

t.test('how completions end says more of the key than the list of models', async t => {
  const double = await startGateway(t, refuse(401, 'Invalid API key'))
  answers(double, { '/v1/models': MODELS })
  const open = connect(t, double.url)
  t.equal(await open.current(), 'up')
  await open.complete()
  t.equal(await open.current(), 'refused', 'some list their models to anybody')
  double.reply = say('Hello')
  await open.complete()
  t.equal(await open.current(), 'up')
  answers(double, { '/v1/models': 403 })
  const closed = connect(t, double.url)
  await closed.complete()
  t.equal(await closed.current(), 'up', 'and some list them to no key that may only complete')
})

t.test('one that is away is down, with the code of its cause', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  const away = connect(t, `http://127.0.0.1:${port}/v1`)
  t.equal(await away.current(), 'down')
  t.match(away.news, [{ state: 'down', cause: 'ECONNREFUSED', message: 'the AI gateway cannot be reached: ECONNREFUSED' }])
  const unknown = connect(t, 'http://no-such-host.invalid/v1')
  t.equal(await unknown.current(), 'down')
  t.match(unknown.news, [{ cause: /^(ENOTFOUND|EAI_AGAIN)$/ }])
  t.match(await unknown.complete(), { code: 'gateway_unavailable', cause: { code: /^(ENOTFOUND|EAI_AGAIN)$/ } })
})

t.test('one that is silent is down after three seconds', async t => {
  const double = await startGateway(t)
  double.onGet = () => {}
  const silent = connect(t, double.url)
  t.equal(await silent.current(), 'down')
  t.match(silent.news, [{ state: 'down', message: 'the AI gateway has not answered within 3 s' }])
})

t.test('where there are no models, the likely address is told, once', async t => {
  const double = await startGateway(t, refuse(404, 'Not Found'))
  const root = double.url.replace('/v1', '')
  const cases: Array<[url: string, byPath: Record<string, number | object | string>, found: string]> = [
    [root, { '/v1/models': MODELS }, double.url],
    [root, { '/models': '<html><title>A page</title></html>', '/v1/models': 401 }, double.url],
    [double.url, { '/models': MODELS }, root],
    [`${root}/openai`, { '/openai/v1/models': MODELS }, `${root}/openai/v1`]
  ]
  for (const [url, byPath, found] of cases) {
    answers(double, byPath)
    const gateway = connect(t, url)
    await gateway.current()
    t.match(await gateway.told(1), [{ message: `the AI gateway has nothing at ${url} (GET /models): AI_GATEWAY_URL is probably to be ${found}` }], url)
    await gateway.complete()
    await gateway.complete()
    t.equal(gateway.news.length, 1)
  }
})

t.test('where completions have no address either, something is told although nothing is found', async t => {
  const double = await startGateway(t, refuse(404, 'Not Found'))
  answers(double, {})
  const lost = connect(t, double.url)
  await lost.complete()
  t.match(await lost.told(1), [{ message: `the AI gateway has nothing at ${double.url} (GET /models and POST /chat/completions): AI_GATEWAY_URL is probably to be ${double.url.replace('/v1', '')}` }])
  double.reply = say('Hello')
  const unlisted = connect(t, double.url)
  await unlisted.current()
  t.equal(await unlisted.complete(), undefined)
  t.same(unlisted.news, [], 'a gateway need not list its models')
})

t.test('a list of models that is redirected or encoded is read', async t => {
  const double = await startGateway(t, (response, call, number) => (number === 1 ? refuse(404, 'model not found') : say('Hello'))(response, call, number))
  double.onGet = (response, path) => {
    if (path === '/v1/models') response.writeHead(308, { location: '/v2/models' }).end()
    else response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify({ data: [{ id: 'found' }] })))
  }
  const gateway = new Gateway({ url: double.url, model: 'm', modelIsChosen: false })
  t.teardown(() => gateway.close())
  await gateway.complete({ messages: [], temperature: 0, maxTokens: 1 }, { text () {}, reasoning () {} }, new Cancellation())
  t.same(double.calls.map(({ body }) => body.model), ['m', 'found'])
})

t.test('a base URL is what paths are put behind', async t => {
  t.strictSame(readBaseUrl('https://ai.example/v1//'), { url: 'https://ai.example/v1', isCut: false })
  t.strictSame(readBaseUrl('https://ai.example/v1/chat/completions'), { url: 'https://ai.example/v1', isCut: true })
  for (const wrong of ['https://ai.example/v1?a', 'https://ai.example/?', 'https://ai.example/v1#']) t.match(readBaseUrl(wrong), { problem: /must have no/ }, wrong)
  t.strictSame(otherBases('https://ai.example'), ['https://ai.example/v1', 'https://ai.example/api/v1'])
  t.strictSame(otherBases('https://ai.example/v1'), ['https://ai.example', 'https://ai.example/api/v1'])
})

t.test('the code of a cause is found however deep it is, and in Deno\'s words', async t => {
  const coded = (code: string, message = '') => Object.assign(new Error(message), { code })
  t.equal(causeCodeOf(new Error('a', { cause: new Error('b', { cause: coded('CERT_HAS_EXPIRED') }) })), 'CERT_HAS_EXPIRED')
  t.equal(causeCodeOf(new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')])), 'ECONNREFUSED')
  t.equal(causeCodeOf(new TypeError('error sending request for url (http://x.invalid/): client error (Connect): dns error: failed to lookup address information')), 'ENOTFOUND')
  t.equal(causeCodeOf(new TypeError('error sending request: tcp connect error: Connection refused (os error 111)')), 'ECONNREFUSED')
  t.equal(causeCodeOf(new TypeError('invalid peer certificate: UnknownIssuer')), 'CERT_INVALID')
  for (const none of [undefined, 'ENOTFOUND', new Error('x'), coded('gateway_unavailable')]) t.equal(causeCodeOf(none), undefined)
  const circle = new Error('a')
  circle.cause = circle
  t.equal(causeCodeOf(circle), undefined)
})
