import t, { type Test } from 'tap'
import { delta, ending, frame, hang, inTurn as byNumber, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, endOf, OTHER_USER, type Service, startService, UNPUBLISHED_AGENT } from '../support/helper.js'
import { byHand, failureOf, loadPackages, type McpClient, type McpPackage, metaOf, runUnderWay, textOf } from './mcp-client.js'

/** Answers the calls from now on in turn, the last of them from there on. */
function inTurn (...replies: Reply[]): Reply {
  const reply = byNumber(...replies)
  let calls = 0
  return (response, call) => reply(response, call, ++calls)
}

/** Calls a tool that there is not; then answers. */
const useTool = (): Reply => inTurn(
  response => {
    const call = frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{}' } }] } }] })
    openStream(response).end(delta('Let me look. ') + call + ending('tool_calls'))
  },
  say('Done'))

t.test('agents as tools', async t => {
  const packages = await loadPackages(t)
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  for (const mcp of packages) {
    t.test(`by ${mcp.name}: called`, async t => testCalls(t, service, mcp))
    t.test(`by ${mcp.name}: refused`, async t => testErrors(t, service, mcp))
  }
})

async function testCalls (t: Test, service: Service, mcp: McpPackage): Promise<void> {
  const { gateway } = service
  const client = await mcp.connect(t, service.url)

  await t.test('the protocol is the newest that both know', async t => {
    t.equal(client.version, mcp.era === '2026' ? '2026-07-28' : '2025-11-25')
  })

  await t.test('the tools are the agents of GET /v1/models', async t => {
    const tools = await client.list()
    t.match(tools.find(({ name }) => name === 'demo_agent'), {
      title: 'Demo agent',
      description: 'Answers with a language model.',
      inputSchema: { type: 'object', properties: { message: { type: 'string' } }, required: ['message'] }
    })
    const { body: { data } } = await service.request('GET', '/v1/models', { headers: { 'x-api-key': 'jeesi_demo_key_for_local_use_only' } })
    t.same(tools.map(({ title }) => title), data.map(({ name }: { name: string }) => name))
    const own = await (await mcp.connect(t, service.url, { headers: await bearer() })).list()
    t.equal(own.length, tools.length + 1, 'a session lists the agents that are not published too')
    t.same(await (await mcp.connect(t, service.url, { headers: await bearer(OTHER_USER) })).list(), [])
  })

  await t.test('an answer is one text, and costs what it costs elsewhere', async t => {
    gateway.reply = say('Hello', ' world')
    const before = (await service.credits()).creditsRemaining
    for (const name of ['demo_agent', DEMO_AGENT]) {
      const result = await client.call(name, { message: 'Hi', more: { is: ['ignored'] } })
      t.equal(textOf(result), 'Hello world')
      t.notOk(result.isError)
      t.equal(result.structuredContent, undefined)
      const { run } = metaOf(result)
      t.match(run, { runId: String, creditsUsed: 1, usage: { totalTokens: 15 }, finishReason: 'stop' })
      t.match(await endOf(service, run.runId), { status: 'succeeded', agentId: DEMO_AGENT })
      t.same(gateway.calls.at(-1)!.body.messages.at(-1), { role: 'user', content: 'Hi' })
    }
    t.equal((await service.credits()).creditsRemaining, before - 2)
  })

  await t.test('who asks for it is told how the run goes on, in numbers that rise', async t => {
    const calls = gateway.calls.length
    gateway.reply = useTool()
    const told: Array<{ progress: number, message?: string }> = []
    const result = await client.call('demo_agent', 'Hi', { onprogress: progress => told.push(progress) })
    t.equal(textOf(result), 'Let me look. Done')
    t.equal(gateway.calls.length, calls + 2)
    t.match(told[0], { progress: 1, message: 'Started' })
    t.ok(told.every(({ progress }, index) => progress === index + 1))
  })

  await t.test('a text that grows is told about once a second', async t => {
    const finish = byHand(service.gateway, 'Hello ')
    let grown = () => {}
    const grows = new Promise<void>(resolve => { grown = resolve })
    const calling = client.call('demo_agent', 'Hi', { onprogress: ({ message }) => { if (message === 'Writing: 6 characters so far') grown() } })
    await grows
    finish('world')
    t.equal(textOf(await calling), 'Hello world')
  })

  await t.test('what a retried step writes anew takes the place of what was before', async t => {
    gateway.reply = inTurn((response, call, number) => {
      hang('Hello', ' wor')(response, call, number)
      setTimeout(() => response.destroy(), 50)
    }, say('Good day'))
    t.equal(textOf(await client.call('demo_agent', 'Hi')), 'Good day')
  })
}

async function testErrors (t: Test, service: Service, mcp: McpPackage): Promise<void> {
  const { gateway } = service
  const client = await mcp.connect(t, service.url)

  await t.test('a tool that there is not, or that is somebody else\'s, is an error of the protocol', async t => {
    const calls = gateway.calls.length
    const session = await mcp.connect(t, service.url, { headers: await bearer(OTHER_USER) })
    const cases: Array<[McpClient, string]> = [
      [client, 'no_such_tool'], [client, UNPUBLISHED_AGENT], [client, 'unpublished_agent'], [client, OTHER_USER], [session, UNPUBLISHED_AGENT], [session, 'demo_agent']
    ]
    for (const [who, name] of cases) t.match(await failureOf(who.call(name, 'Hi')), { code: -32602, message: /There is no tool "/ }, name)
    t.equal(gateway.calls.length, calls)
    gateway.reply = say('Hello world')
    t.equal(textOf(await session.call(DEMO_AGENT, 'Hi')), 'Hello world', 'whoever may run an agent calls it by its id')
  })

  await t.test('a call without a message says what is missing', async t => {
    const calls = gateway.calls.length
    for (const wrong of [{}, { message: 5 }, { message: null }, { message: ' ' }, { text: 'Hi' }, { message: [{ type: 'text', text: 'Hi' }] }]) {
      const result = await client.call('demo_agent', wrong)
      t.ok(result.isError)
      t.match(textOf(result), /^Call this tool with a message/)
      t.match(metaOf(result), { error: { code: 'bad_request', retryable: false }, run: undefined })
    }
    t.equal(gateway.calls.length, calls)
  })

  await t.test('a run that fails, also in mid-answer, is a result that says so, with nothing of its text', async t => {
    gateway.reply = refuse(400, 'no')
    const refused = await client.call('demo_agent', 'fails')
    t.match([refused.isError, textOf(refused)], [true, 'The model does not accept this request.'])
    t.match(metaOf(refused), { error: { code: 'gateway_rejected', retryable: false }, run: { runId: String } })
    gateway.reply = inTurn(response => { openStream(response).write(delta('Half of it')); setTimeout(() => response.destroy(), 50) }, refuse(400, 'no'))
    const broken = await client.call('demo_agent', 'fails later')
    t.ok(broken.isError)
    t.notMatch(JSON.stringify(broken), 'Half of it')
  })

  await t.test('a run that is cancelled elsewhere is a result that says so', async t => {
    byHand(service.gateway, 'Cancelled')
    const calling = client.call('demo_agent', 'Hi')
    const runId = await runUnderWay(service, 'Cancelled')
    await service.request('POST', `/api/runs/${runId}/cancel`)
    const result = await calling
    t.match([result.isError, textOf(result), metaOf(result).error.code], [true, 'The run was cancelled.', 'run_cancelled'])
  })

  await t.test('who has no credits is told so, and no model is asked', async t => {
    gateway.reply = say('Hello')
    const poor = await mcp.connect(t, service.url, { headers: await bearer(OTHER_USER) })
    for (let left = (await service.credits(OTHER_USER)).creditsRemaining; left > 0; left--) await poor.call(DEMO_AGENT, 'Hi')
    const calls = gateway.calls.length
    const result = await poor.call(DEMO_AGENT, 'Hi')
    t.match([result.isError, metaOf(result).error?.code], [true, 'insufficient_credits'])
    t.match(textOf(result), /^There are not enough credits/)
    t.equal(gateway.calls.length, calls)
    await service.request('POST', `/api/admin/users/${OTHER_USER}/credits`, { body: { credits: 3, reason: 'the next test' } })
  })

  await t.test('who is nobody is refused with 401', async t => {
    const nobodies: Array<Record<string, string>> = [{}, { authorization: 'Bearer jeesi_no_such_key' }]
    for (const headers of nobodies) {
      const failure = await failureOf(mcp.connect(t, service.url, { headers }))
      t.match(`${String(failure.code)} ${failure.message} ${failure.data?.status}`, /401/)
    }
  })
}
