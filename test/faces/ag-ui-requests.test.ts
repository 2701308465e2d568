import t from 'tap'
import { hang, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, OTHER_USER, type Service, startService, UNPUBLISHED_AGENT } from '../support/helper.js'
import { until } from '../support/until.js'
import { KEY_HEADERS } from './ag-ui-client.js'
import { fromNow } from './ai-sdk-client.js'

const ASKED = [{ id: 'm1', role: 'user', content: 'Hi' }]
let runs = 0

async function post ({ url }: Service, path: string, body: object, headers: Record<string, string> = KEY_HEADERS) {
  const response = await fetch(url + path, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ threadId: 'a thread', runId: `run ${++runs}`, messages: ASKED, ...body })
  })
  const raw = await response.text()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  const events: any[] = isStream ? raw.split('\n\n').filter(frame => frame.startsWith('data: ')).map(frame => JSON.parse(frame.slice('data: '.length))) : []
  return { status: response.status, headers: response.headers, raw, events, body: isStream ? undefined : JSON.parse(raw) }
}

t.test('requests of AG-UI', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  const { gateway } = service
  const agUi = `/ag-ui/${DEMO_AGENT}`
  const copilotKit = `/copilotkit/agent/${DEMO_AGENT}`

  await t.test('are answered with frames of data alone, and without [DONE]', async t => {
    const { status, headers, raw, events } = await post(service, agUi, { protocolVersion: '1.0' })
    t.equal(status, 200)
    t.match(Object.fromEntries(headers), { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache, no-transform', 'x-run-id': String })
    t.match(raw, /^(data: \{.*\}\n\n)+$/)
    t.match(events[0], { type: 'RUN_STARTED', protocolVersion: '1.0', metadata: { runId: headers.get('x-run-id') } })
    t.equal(events.at(-1).type, 'RUN_FINISHED')
    t.notMatch(raw, /:null[,}]/, 'what is optional is absent')
    t.notOk('protocolVersion' in (await post(service, agUi, {})).events[0])
  })

  await t.test('what cannot be done is refused by its place', async t => {
    const refusals: Array<[object, string]> = [
      [{ threadId: '' }, 'threadId'], [{ threadId: '..' }, 'threadId'], [{ threadId: 'x'.repeat(101) }, 'threadId'], [{ runId: '' }, 'runId'], [{ runId: 7 }, 'runId'], [{ messages: 'Hi' }, 'messages'],
      [{ messages: [{ id: 'm', role: 'critic', content: 'Hi' }] }, 'messages.0.role'], [{ messages: [] }, 'messages'], [{ messages: [{ role: 'user', content: 'Hi' }] }, 'messages.0.id'],
      [{ messages: [{ id: 'm', role: 'user', content: [{ type: 'audio' }] }] }, 'messages.0.content.0.type'], [{ resume: [{ interruptId: 'i', status: 'resolved' }] }, 'resume'],
      [{ context: [{ description: 'a' }] }, 'context.0.value'], [{ messages: [{ id: 'm', role: 'assistant', toolCalls: [{ id: 'c' }] }] }, 'messages.0.toolCalls.0.function']
    ]
    for (const [body, path] of refusals) {
      const refused = await post(service, agUi, body)
      t.match(refused, { status: 400, body: { code: 'bad_request', details: [{ path }] } }, JSON.stringify(body).slice(0, 100))
    }
    t.match(await post(service, '/ag-ui/no-uuid', {}), { status: 400, body: { details: [{ path: 'agentId' }] } })
    t.match(await post(service, `/ag-ui/${UNPUBLISHED_AGENT}`, {}), { status: 404, body: { code: 'agent_not_found' } })
    t.match(await post(service, agUi, {}, {}), { status: 401 })
    t.match((await service.request('POST', `${copilotKit}/stop/a`, { body: { runId: 7 } })).body, { code: 'bad_request', details: [{ path: 'runId' }] })
  })

  await t.test('of other versions of the protocol are taken, with what is not known passed over', async t => {
    const { events } = await post(service, agUi, {
      protocolVersion: '1.7',
      parentRunId: 'p',
      state: { a: null },
      tools: [{ name: 'x', description: 'x', parameters: {} }],
      forwardedProps: { x: 1 },
      resume: [],
      context: null,
      ofALaterVersion: true,
      messages: [{ id: 'm1', role: 'user', content: 'Hi', name: 'me', metadata: { a: 1 }, encryptedValue: 'x' }]
    })
    t.equal(events.at(-1).type, 'RUN_FINISHED')
    t.same(gateway.calls.at(-1)!.body.messages.at(-1), { role: 'user', content: 'Hi' })
  })

  await t.test('of a thread reach the messages of their own callers alone', async t => {
    const headers = await bearer(OTHER_USER)
    await post(service, `${copilotKit}/run`, { threadId: 'shared', messages: [{ id: 'm1', role: 'user', content: 'Mine' }] })
    t.same((await post(service, `${copilotKit}/connect`, { threadId: 'shared', messages: [] }, headers)).raw, '')
    await post(service, `${copilotKit}/run`, { threadId: 'shared', messages: [{ id: 'm1', role: 'user', content: 'Theirs' }] }, headers)
    const { events } = await post(service, `${copilotKit}/connect`, { threadId: 'shared', messages: [] })
    t.match(events.find(({ type }) => type === 'MESSAGES_SNAPSHOT'), { messages: [{ id: 'm1', role: 'user', content: 'Mine' }] })
  })

  await t.test('to connect are told the names of the run that the page has given', async t => {
    fromNow(gateway, say('Hello'))
    await post(service, `${copilotKit}/run`, { threadId: 'named', runId: 'first' })
    const { events } = await post(service, `${copilotKit}/connect`, { threadId: 'named', runId: 'connects', messages: [] })
    t.match(events.map(({ type, threadId, runId }) => [type, threadId, runId]).at(0), ['RUN_STARTED', 'named', 'first'])
    t.match(events.at(-1), { type: 'RUN_FINISHED', threadId: 'named', runId: 'first' })
    t.same(events.map(({ type }) => type).slice(0, 3), ['RUN_STARTED', 'MESSAGES_SNAPSHOT', 'TEXT_MESSAGE_START'])
  })

  await t.test('whose messages are long, or not kept, are told them all the same', async t => {
    const long = [{ id: 'm1', role: 'user', content: 'x'.repeat(200_000) }]
    fromNow(gateway, say('Hello'))
    await post(service, `${copilotKit}/run`, { threadId: 'long', messages: long })
    t.same((await post(service, `${copilotKit}/connect`, { threadId: 'long', messages: [] })).events[1].messages, long)
    const { headers } = await post(service, agUi, { threadId: 'not kept' })
    const runId = headers.get('x-run-id')!
    const messages = [...ASKED, { id: `${runId}-1`, role: 'assistant', content: 'half of it' }, { id: `${runId}-2`, role: 'reasoning', content: 'Hm.' }]
    const { events } = await post(service, `${copilotKit}/connect`, { threadId: 'not kept', messages })
    t.same(events[1].messages, ASKED, 'what the page has, without what it has of the answer')
  })

  await t.test('with texts that no store takes are kept and told', async t => {
    fromNow(gateway, say('Hello'))
    await post(service, `${copilotKit}/run`, { threadId: 'odd', messages: [{ id: 'm\u0000', role: 'user', content: 'half \ud800 a pair' }] })
    const { events } = await post(service, `${copilotKit}/connect`, { threadId: 'odd', messages: [] })
    t.match(events[1].messages, [{ id: 'm\ufffd', content: 'half \ufffd a pair' }])
  })

  await t.test('to stop end the run that is named, or else all of the thread', async t => {
    fromNow(gateway, hang('Hel'))
    const stop = async (body?: object) => (await service.request('POST', `${copilotKit}/stop/to%20stop`, { body, headers: KEY_HEADERS })).body
    const running = post(service, `${copilotKit}/run`, { threadId: 'to stop', runId: 'this' })
    await until(() => service.request('GET', '/api/runs'), ({ body }) => body.runs[0]?.response === 'Hel')
    t.match(await stop({ runId: 'another' }), { stopped: false })
    t.same(await stop({ runId: 'this' }), { stopped: true })
    t.match((await running).events.at(-1), { type: 'RUN_ERROR', code: 'run_cancelled' })
    t.match(await stop(), { stopped: false })
  })

  await t.test('of pages find the agents that models are', async t => {
    const { body } = await service.request('GET', '/copilotkit/info')
    const { body: models } = await service.request('GET', '/v1/models')
    t.match(body, { version: String, mode: 'sse', suggestions: false, agents: { [DEMO_AGENT]: { name: DEMO_AGENT, className: String, description: String } } })
    t.same(Object.keys(body.agents).sort(), models.data.map(({ id }: any) => id).sort())
  })
})
