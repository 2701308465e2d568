import t, { type Test } from 'tap'
import { delta, ending, frame, hang, inTurn as byNumber, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, endOf, openEvents, OTHER_USER, type Service, startService, UNPUBLISHED_AGENT } from '../support/helper.js'
import { until } from '../support/replica.js'
import { failureOf, loadPackages, type McpClient, type McpPackage, metaOf, textOf } from './mcp-client.js'

/** Answers the calls from now on in turn, the last of them from there on. */
function inTurn (...replies: Reply[]): Reply {
  const reply = byNumber(...replies)
  let calls = 0
  return (response, call) => reply(response, call, ++calls)
}

/** Says the beginning, and the rest when the test says so. */
function byHand (service: Service, first: string): (rest: string) => void {
  let finish = (_rest: string) => {}
  service.gateway.reply = response => {
    openStream(response).write(delta(first))
    finish = rest => { response.end(delta(rest) + ending()) }
  }
  return rest => finish(rest)
}

/** Calls a tool that there is not; then answers. */
const useTool = (): Reply => inTurn(
  response => {
    const call = frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{}' } }] } }] })
    openStream(response).end(delta('Let me look. ') + call + ending('tool_calls'))
  },
  say('Done'))

/** The run that goes on, once it has said something. */
async function runUnderWay ({ request }: Service, said: string): Promise<string> {
  const { body } = await until(() => request('GET', '/api/runs?limit=1'), ({ body }) => body.runs[0]?.response === said && body.runs[0].finishedAt === null)
  return body.runs[0].runId
}

t.test('agents as tools', async t => {
  const packages = await loadPackages(t)
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  for (const mcp of packages) {
    t.test(`by ${mcp.name}: called`, async t => testCalls(t, service, mcp))
    t.test(`by ${mcp.name}: left`, async t => testLeaving(t, service, mcp))
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
    const finish = byHand(service, 'Hello ')
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

async function testLeaving (t: Test, service: Service, mcp: McpPackage): Promise<void> {
  const { gateway } = service
  const leaves: Record<string, (client: McpClient, cancel: AbortController) => unknown> = {
    'that is cancelled': (_client, cancel) => cancel.abort(),
    'whose connection is closed': client => client.close()
  }

  for (const [what, leave] of Object.entries(leaves)) {
    await t.test(`a call ${what} ends its run, and costs what was used`, async t => {
      const client = await mcp.connect(t, service.url)
      byHand(service, `Hello ${what}`)
      const cancel = new AbortController()
      const calling = failureOf(client.call('demo_agent', 'Hi', { signal: cancel.signal }))
      const runId = await runUnderWay(service, `Hello ${what}`)
      await leave(client, cancel)
      await calling
      t.match(await endOf(service, runId), { status: 'cancelled', creditsCharged: 1 })
      await gateway.calls.at(-1)!.closed
    })
  }

  await t.test('a run that somebody else follows goes on', async t => {
    const client = await mcp.connect(t, service.url)
    const finish = byHand(service, 'Followed ')
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await runUnderWay(service, 'Followed ')
    const following = await openEvents(service.url, runId)
    const closed = untilClosed(service, '/mcp')
    await client.close()
    await calling
    await closed
    finish('to the end')
    t.match(await following.text(), '"response":"Followed to the end"')
    t.match(await endOf(service, runId), { status: 'succeeded' })
  })

  await t.test('with an Idempotency-Key a run goes on, and who calls again is told its answer', async t => {
    const headers = { ...await bearer(), 'idempotency-key': `again by ${mcp.name}` }
    const client = await mcp.connect(t, service.url, { headers })
    const finish = byHand(service, 'Kept ')
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await runUnderWay(service, 'Kept ')
    const closed = untilClosed(service, '/mcp')
    await client.close()
    await calling
    await closed
    const calls = gateway.calls.length
    const again = (await mcp.connect(t, service.url, { headers })).call('demo_agent', 'Hi')
    finish('to the end')
    const result = await again
    t.match([textOf(result), metaOf(result).run.runId], ['Kept to the end', runId])
    t.equal(gateway.calls.length, calls)
  })
}

/** Resolves when a request that is open now has been logged, which is when it has been closed. */
async function untilClosed ({ logs }: Service, path: string): Promise<unknown> {
  const before = logs.length
  return until(async () => logs.slice(before).some(line => line.includes(`POST ${path}`) && line.includes('tools/call')), found => found)
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
    byHand(service, 'Cancelled')
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

t.test('a connection that ends before the run is an error that names it, and the run goes on', async t => {
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })
  for (const mcp of await loadPackages(t)) {
    const client = await mcp.connect(t, service.url)
    const finish = byHand(service, 'Hello ')
    const failure = await failureOf(client.call('demo_agent', 'Hi'))
    t.match(failure, { code: -32603, message: /The connection ended before the answer was complete/, data: { code: 'connection_ended', retryable: true, runId: String } })
    finish('world')
    t.match(await endOf(service, failure.data!.runId!), { status: 'succeeded', response: 'Hello world' })
  }
})

t.test('a process that is replaced tells its clients what goes on without them', async t => {
  for (const mcp of await loadPackages(t)) {
    const service = await startService(t)
    const client = await mcp.connect(t, service.url)
    byHand(service, 'Hello ')
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await runUnderWay(service, 'Hello ')
    const closing = service.app.close()
    t.match(await calling, { code: -32603, data: { code: 'connection_ended', runId } }, mcp.name)
    await closing
    t.notOk(service.logs.some(line => line.includes('run was cancelled') || line.includes('cancelled')), 'the run waits for another process')
  }
})

t.test('a run that ends while its process drains is answered whole', async t => {
  const service = await startService(t, { DRAIN_SECONDS: '100' })
  const [mcp] = await loadPackages(t)
  const client = await mcp!.connect(t, service.url)
  const finish = byHand(service, 'Hello ')
  const calling = client.call('demo_agent', 'Hi')
  await runUnderWay(service, 'Hello ')
  const draining = service.app.drain()
  const refused = await client.call('demo_agent', 'Another')
  t.match([refused.isError, metaOf(refused).error], [true, { code: 'shutting_down', retryable: true, retryAfter: Number }])
  finish('world')
  t.equal(textOf(await calling), 'Hello world')
  await draining
})

t.test('a call that waits in the queue says so, and is left like any other', async t => {
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1' })
  const [mcp] = await loadPackages(t)
  const finish = byHand(service, 'First ')
  const client = await mcp!.connect(t, service.url)
  const first = client.call('demo_agent', 'First')
  await runUnderWay(service, 'First ')
  const second = await mcp!.connect(t, service.url)
  let queued = () => {}
  const waits = new Promise<void>(resolve => { queued = resolve })
  const cancel = new AbortController()
  const waiting = failureOf(second.call('demo_agent', 'Second', {
    signal: cancel.signal,
    onprogress: ({ message }) => { if (message === 'Waiting in the queue, at position 1') queued() }
  }))
  await waits
  const { body: { runs: [{ runId }] } } = await service.request('GET', '/api/runs?limit=1')
  cancel.abort()
  await waiting
  t.match(await endOf(service, runId), { status: 'cancelled', creditsCharged: 0 })
  finish('to the end')
  t.equal(textOf(await first), 'First to the end')
})
