import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { delta, ending, openStream, refuse, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_KEY, endOf, OTHER_USER, type Service, startService } from '../support/helper.js'
import { findPython } from '../support/python.js'
import { until } from '../support/until.js'
import { ASKED, numbersOf, type Outcome, textOf, typesOf } from './responses-client.js'

// Python's package `openai` cannot be had here: its requests are sent by a script on the standard library, which says where it follows it.
const SCRIPT = fileURLToPath(new URL('openai-requests.py', import.meta.url))

type Use = (call: string, args?: object, options?: { key?: string, max_retries?: number, timeout?: number }) => Promise<Outcome>

/** Does what a program with the package does, one call a process. */
async function findPackage (t: Test, { url }: Service): Promise<Use | undefined> {
  const python = await findPython(t)
  if (python === undefined) return undefined
  return async (call, args = ASKED, { key = DEMO_KEY, ...options } = {}) => {
    const { stdout } = await promisify(execFile)(python, [SCRIPT, JSON.stringify({ url, key, call, args, options })])
    return JSON.parse(stdout)
  }
}

/** Says the beginning, and the rest when the test says so. */
function byHand ({ gateway }: Service, first: string): { asked: Promise<unknown>, finish: (rest: string) => void } {
  let finish = (_rest: string) => {}
  const asked = gateway.nextCall()
  gateway.reply = response => {
    openStream(response).write(delta(first))
    finish = rest => { response.end(delta(rest) + ending()) }
  }
  return { asked, finish: rest => finish(rest) }
}

t.test('what Python\'s package sends to chat completions and models is answered', async t => {
  const service = await startService(t)
  const use = await findPackage(t, service)
  if (!use) return
  const asked = { model: DEMO_AGENT, messages: [{ role: 'user', content: 'Grüße 🙂' }] }
  t.match((await use('chat', asked)).result, { object: 'chat.completion', choices: [{ message: { content: 'Hello world' }, finish_reason: 'stop' }] })
  t.match(service.gateway.calls.at(-1)!.body.messages.at(-1), { content: 'Grüße 🙂' })
  const { result: chunks } = await use('chatStream', asked)
  t.equal(chunks.map(({ choices }: any) => choices[0].delta.content ?? '').join(''), 'Hello world')
  t.match((await use('models')).result, { object: 'list', data: [{ object: 'model' }, { object: 'model' }] })
})

t.test('what Python\'s package sends to Responses is answered', async t => {
  const service = await startService(t)
  const use = await findPackage(t, service)
  if (!use) return

  await t.test('created as a whole, and as a stream', async t => {
    const { result, error } = await use('create', { ...ASKED, metadata: { topic: 'greeting' } })
    t.equal(error, undefined)
    t.match(result, { id: /^resp_/, object: 'response', status: 'completed', output: [{ type: 'message', content: [{ text: 'Hello world' }] }], metadata: { topic: 'greeting' } })
    const { result: events } = await use('stream')
    t.equal(textOf(events), 'Hello world')
    t.match([typesOf(events).at(0), typesOf(events).at(-1)], ['response.created', 'response.completed'])
  })

  await t.test('left in a stream, retrieved while it goes on, and read on from the last number', async t => {
    const { finish } = byHand(service, 'Hello ')
    const { result: begun } = await use('leave', { ...ASKED, background: true })
    const { id } = begun[0].response
    t.match((await use('retrieve', { id })).result, { status: 'in_progress', output: [{ status: 'in_progress' }] })
    // As the package writes lists, numbers and truth values into an address.
    const query = { 'include[]': 'reasoning.encrypted_content', include_obfuscation: 'false', starting_after: numbersOf(begun).at(-1) }
    const reading = use('retrieveStream', { id, query })
    finish('world')
    const { result: rest } = await reading
    t.equal(textOf([...begun, ...rest]), 'Hello world')
    t.match(rest.at(-1), { type: 'response.completed' })
    const { result: again } = await use('retrieveStream', { id })
    t.same(numbersOf(again), numbersOf([...begun, ...rest]), 'and once more from its beginning')
    service.gateway.reply = say('Hello', ' world')
  })

  await t.test('begun in the background, and waited for', async t => {
    const { asked, finish } = byHand(service, 'Hello ')
    const { result: begun } = await use('create', { ...ASKED, background: true })
    await asked
    finish('there')
    const { result } = await until(() => use('retrieve', { id: begun.id }), ({ result }) => !['queued', 'in_progress'].includes(result.status))
    t.match(result, { status: 'completed', output: [{ content: [{ text: 'Hello there' }] }] })
    t.match((await use('inputItems', { id: begun.id, query: { limit: 20, order: 'asc' } })).result, { data: [{ type: 'message', content: [{ text: 'Hi' }] }], has_more: false })
  })

  await t.test('cancelled and deleted, by requests that say of their empty bodies that they are JSON', async t => {
    const { asked } = byHand(service, 'Hello ')
    const { result: { id } } = await use('create', { ...ASKED, background: true })
    await asked
    t.match(await use('cancel', { id }), { result: { id, status: 'cancelled' }, error: undefined })
    t.match((await use('retrieveStream', { id })).result.at(-1), { type: 'response.failed', response: { status: 'cancelled' } })
    t.match(await use('delete', { id }), { result: { id, deleted: true }, error: undefined })
    t.match((await use('retrieve', { id })).error, { class: 'NotFoundError', status: 404, code: 'response_not_found', requestId: String })
    service.gateway.reply = say('Hello', ' world')
  })

  await t.test('refused with the errors that the package has classes for', async t => {
    const stranger = { key: (await bearer(OTHER_USER)).authorization!.slice('Bearer '.length) }
    const { result: { id } } = await use('create')
    t.match((await use('create', ASKED, { key: 'jeesi_no_such_key' })).error, { class: 'AuthenticationError', status: 401, code: 'invalid_api_key' })
    t.match((await use('create', { ...ASKED, tools: [{ type: 'web_search' }] })).error, { class: 'BadRequestError', status: 400, param: 'tools', type: 'invalid_request_error' })
    t.match((await use('create', { ...ASKED, model: 'gpt-5' })).error, { class: 'NotFoundError', status: 404, code: 'model_not_found' })
    for (const call of ['retrieve', 'retrieveStream', 'cancel', 'delete', 'inputItems']) t.match((await use(call, { id }, stranger)).error, { class: 'NotFoundError', code: 'response_not_found' }, call)
    service.gateway.reply = refuse(400, 'no')
    t.match((await use('create', { ...ASKED, input: 'fails' })).error, { class: 'UnprocessableEntityError', code: 'gateway_rejected', shouldRetry: 'false' })
    t.match((await use('stream', { ...ASKED, input: 'fails in a stream' })).result.at(-1), { type: 'response.failed', response: { error: { code: 'gateway_rejected' } } })
    service.gateway.reply = say('Hello', ' world')
  })

  await t.test('repeated after the package has waited too long, and answered by the run that the first request began', async t => {
    const count = async () => (await service.request('GET', '/api/runs?limit=100')).body.runs.length
    const before = await count()
    const { finish } = byHand(service, 'La')
    const retries = new Promise<void>(resolve => {
      service.app.server.on('request', ({ headers }) => { if (Number(headers['x-stainless-retry-count']) > 0) resolve() })
    })
    const creating = use('create', { ...ASKED, input: 'late' }, { timeout: 1, max_retries: 20 })
    await retries
    finish('te')
    const { result, error } = await creating
    t.equal(error, undefined)
    t.match(result, { status: 'completed', output: [{ content: [{ text: 'Late' }] }] })
    t.equal(await count(), before + 1)
    await endOf(service, result.id.slice('resp_'.length))
  })
})

t.test('a connection that ends before its run is an error of the package, and never half an answer', async t => {
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })
  const use = await findPackage(t, service)
  if (!use) return
  const { finish } = byHand(service, 'half')
  const chat = { model: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }
  t.match((await use('chatStream', chat)).error, { class: 'APIError', code: 'connection_ended' })
  t.match((await use('stream')).error, { class: 'APIError', code: 'connection_ended' })
  const asked = service.gateway.nextCall()
  const streaming = use('stream', { ...ASKED, input: 'cut' })
  await asked
  // A connection that is cut before its answer has begun is one that the package tries again.
  const told = async () => {
    const { body: { runs: [{ runId }] } } = await service.request('GET', '/api/runs?limit=1')
    return (await service.request('GET', `/api/runs/${runId}`)).body
  }
  await until(told, ({ status, response }) => status === 'running' && response === 'half')
  service.app.server.closeAllConnections()
  t.match((await streaming).error, { class: 'APIConnectionError' })
  finish(' and half')
})
