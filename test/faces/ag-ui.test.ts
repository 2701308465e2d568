import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { readDocument } from '../docs/markdown.js'
import { refuse, say } from '../support/doubles/gateway.js'
import { DEMO_AGENT, type Service, startService } from '../support/helper.js'
import { callTool, offerTool, startTwo } from '../support/pair.js'
import { until } from '../support/until.js'
import { type AgUiSdk, breakOff, callLookUp, loadAgUi, openClient } from './ag-ui-client.js'
import { fromNow } from './ai-sdk-client.js'
import { inTwo } from './ai-sdk-wire.js'

t.test('a client of AG-UI', async t => {
  const loaded = await loadAgUi(t)
  if (!loaded) return
  const { a: service, sql } = await startTwo(t, { RATE_LIMIT_MAX: '100000', MAX_CONNECTIONS_PER_USER: '1000' })
  await offerTool(sql)
  for (const sdk of loaded.sdks) await t.test(`of version ${sdk.version}`, async t => testClient(t, service, sdk))
})

async function testClient (t: Test, service: Service, sdk: AgUiSdk): Promise<void> {
  const { gateway } = service
  t.capture(console, 'error')
  const warnings = t.capture(console, 'warn')
  const open = (options: object = {}) => openClient(sdk, service.url, options)

  await t.test('shows an answer, with what it has used', async t => {
    fromNow(gateway, say('Hello', ' world'))
    const client = open({ threadId: `thread ${sdk.version}` })
    const { error, finish, events } = await client.run('Hi', { runId: `run ${sdk.version}` })
    t.equal(error, undefined)
    t.equal(client.text, 'Hello world')
    t.match(client.messages, [{ role: 'user' }, { role: 'assistant', content: 'Hello world' }])
    t.match(events[0], { type: 'RUN_STARTED', threadId: `thread ${sdk.version}`, runId: `run ${sdk.version}`, metadata: { agentId: DEMO_AGENT } })
    t.match(finish, { threadId: `thread ${sdk.version}`, runId: `run ${sdk.version}`, usage: [{ inputTokens: 10, outputTokens: 5, totalTokens: 15 }], result: { creditsUsed: 1, finishReason: 'stop' } })
    fromNow(gateway, say('Again'))
    await client.run('And now?')
    t.same(gateway.calls.at(-1)!.body.messages.slice(1), [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello world' }, { role: 'user', content: 'And now?' }])
    t.same(warnings(), [], 'it knows all that it is told')
  })

  await t.test('shows reasoning, steps and tools, and sends them back as the history they are', async t => {
    fromNow(gateway, callLookUp, say('Done'))
    const client = open()
    const { error, events } = await client.run('Hi')
    t.equal(error, undefined)
    t.match(client.messages, [
      { role: 'user' },
      { role: 'reasoning', content: 'Hm.' },
      { role: 'assistant', content: 'Let me see. ', toolCalls: [{ type: 'function', function: { name: 'look_up', arguments: '{"user_input":"blue"}' } }] },
      { role: 'tool', content: 'It is blue.' },
      { role: 'assistant', content: 'Done' }
    ])
    t.equal(client.messages.length, 5)
    const steps = events.filter(({ type }) => type.startsWith('STEP_')).map(({ type, stepName }) => `${type} ${stepName}`)
    t.same(steps, ['STEP_STARTED step 1', 'STEP_FINISHED step 1', 'STEP_STARTED step 2', 'STEP_FINISHED step 2'])
    fromNow(gateway, say('Blue'))
    t.equal((await client.run('Which?')).error, undefined)
    const { id } = client.messages[2]!.toolCalls![0]!
    t.same(gateway.calls.at(-1)!.body.messages.slice(1), [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Let me see. ', tool_calls: [{ id, type: 'function', function: { name: 'look_up', arguments: '{"user_input":"blue"}' } }] },
      { role: 'tool', tool_call_id: id, content: 'It is blue.' },
      { role: 'assistant', content: 'Done' }, { role: 'user', content: 'Which?' }
    ])
    t.ok(id.length <= 40, 'an id that OpenAI takes')
    t.same(warnings(), [])
  })

  await t.test('shows the failure of a tool', async t => {
    fromNow(gateway, callTool('nobody', {}, 'Let me see. '), say('Done'))
    const client = open()
    const { events } = await client.run('Hi')
    t.match(client.messages.find(({ role }) => role === 'tool'), { content: /There is no tool nobody/ })
    t.match(events.find(({ type }) => type === 'TOOL_CALL_RESULT'), { metadata: { isError: true } })
    t.match(client.text, /Done$/)
  })

  await t.test('shows no text that was taken back, and what was before it once', async t => {
    fromNow(gateway, callLookUp, breakOff('Yes', ', and'), say('No'))
    const client = open()
    const { error, finish, events } = await client.run('Hi')
    t.equal(error, undefined)
    t.equal(client.text, 'Let me see. |No')
    t.ok(finish)
    t.equal(client.messages.filter(({ role }) => role === 'tool').length, 1)
    t.match(events.find(({ type }) => type === 'CUSTOM'), { name: 'progress', value: { type: 'retry', code: 'gateway_unavailable' } })
    fromNow(gateway, say('Well'))
    t.equal((await client.run('Really?')).error, undefined, 'and the history is one that models take')
    t.equal(gateway.calls.at(-1)!.body.messages.filter(({ role }: any) => role === 'assistant').length, 2)
  })

  await t.test('is told a failure with its code, before the first word and after', async t => {
    for (const replies of [[refuse(400)], [breakOff('half'), refuse(400)]]) {
      fromNow(gateway, ...replies)
      const { failure, finish } = await open().run('Hi')
      t.match(failure, { type: 'RUN_ERROR', code: 'gateway_rejected', message: 'The model does not accept this request.' })
      t.equal(finish, undefined)
    }
    const { error } = await open({ headers: { authorization: 'Bearer jeesi_no_such_key' } }).run('Hi')
    t.match(error.message, /401|unauthorized/i, 'what is refused before there is a run is an HTTP error')
  })

  await t.test('is told that its run was cancelled', async t => {
    const { reply, asked } = inTwo('Hel', 'lo')
    fromNow(gateway, reply)
    const client = open()
    const running = client.run('Hi')
    await asked
    await client.shows('Hel')
    const { body: { runs: [{ runId }] } } = await service.request('GET', '/api/runs?status=running')
    await service.request('POST', `/api/runs/${runId}/cancel`)
    const { error, failure, finish } = await running
    t.equal(error, undefined)
    if (sdk.isOfVersion1) t.match(finish, { outcome: { type: 'cancelled' }, metadata: { runId } })
    else t.match([failure, finish], [{ code: 'run_cancelled' }, undefined], 'which versions before 1.0 would take for a success')
  })

  await t.test('joins the run that it has begun when it sends it again, and nobody else does', async t => {
    const { reply, finish } = inTwo('Hel', 'lo')
    fromNow(gateway, reply)
    const before = gateway.calls.length
    const initialMessages = [{ id: 'm1', role: 'user', content: 'Hi' }]
    const [first, second] = [open({ threadId: `same ${sdk.version}`, initialMessages }), open({ threadId: `same ${sdk.version}`, initialMessages })]
    const running = [first.run(undefined, { runId: 'one' }), second.run(undefined, { runId: 'one' })]
    await Promise.all([first.shows('Hel'), second.shows('Hel')])
    finish()
    const [one, two] = await Promise.all(running)
    t.same([one!.error, two!.error, first.text, second.text], [undefined, undefined, 'Hello', 'Hello'])
    t.equal(gateway.calls.length, before + 1)
    const { error } = await open({ threadId: `same ${sdk.version}` }).run('Another question', { runId: 'one' })
    t.match(error.message, /idempotency_key_reused|422/)
  })
}

t.test('the example of the document says what the agent says', async t => {
  const loaded = await loadAgUi(t)
  if (!loaded) return
  const service = await startService(t)
  const [example] = readDocument('docs/how-to/use-ag-ui.md').fences.filter(({ language }) => language === 'js')
  const program = await loaded.bundleProgram(example!.text.replace('http://localhost:3000', service.url))
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000 })
  t.same([stdout, stderr], ['Hello world', ''])
})

t.test('a client is told its place in the queue', async t => {
  const loaded = await loadAgUi(t)
  if (!loaded) return
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1' })
  const { reply, finish, asked } = inTwo('Hel', 'lo')
  fromNow(service.gateway, reply, say('Later'))
  const [first, second] = [openClient(loaded.newest, service.url), openClient(loaded.newest, service.url)]
  const running = first.run('Hi')
  await asked
  const waiting = second.run('Hi')
  await until(() => service.request('GET', '/api/runs?status=queued'), ({ body }) => body.runs.length === 1)
  finish()
  await running
  const { events } = await waiting
  t.match(events.slice(0, 2), [{ type: 'RUN_STARTED' }, { type: 'CUSTOM', name: 'progress', value: { type: 'queued', position: 1 } }])
  t.equal(second.text, 'Later')
})

t.test('a client whose connection lasts too short ends with an error, and gets the rest by sending the same run again', async t => {
  const loaded = await loadAgUi(t)
  if (!loaded) return
  t.capture(console, 'error')
  const { a: service } = await startTwo(t, { SSE_MAX_SECONDS: '1' })
  for (const sdk of loaded.sdks) {
    const { reply, finish } = inTwo('Hel', 'lo')
    fromNow(service.gateway, reply)
    const initialMessages = [{ id: 'm1', role: 'user', content: 'Hi' }]
    const client = openClient(sdk, service.url, { threadId: sdk.version, initialMessages })
    const { error, failure, finish: end } = await client.run(undefined, { runId: 'one' })
    t.match([error, failure, end], [undefined, { code: 'connection_ended' }, undefined], 'half an answer is no whole one')
    finish()
    await until(() => service.request('GET', '/api/runs'), ({ body }) => body.runs?.[0]?.status === 'succeeded')
    const again = openClient(sdk, service.url, { threadId: sdk.version, initialMessages })
    t.equal((await again.run(undefined, { runId: 'one' })).error, undefined)
    t.equal(again.text, 'Hello')
  }
})
