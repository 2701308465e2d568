import pg from 'pg'
import t, { type Test } from 'tap'
import { delta, ending, frame, hang, openStream, type Reply, say } from '../support/doubles/gateway.js'
import { createPostgres, DEMO_AGENT, DEMO_KEY, DEMO_USER, endOf, findPostgres, startService, typesOf } from '../support/helper.js'
import { until } from '../support/until.js'

const callTool = (name: string, args: object): Reply => response => {
  openStream(response).end(delta('Let me ask. ') + frame({
    choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name, arguments: JSON.stringify(args) } }] } }]
  }) + ending('tool_calls'))
}

/** A service whose demo agent has the agents of the service itself as tools. */
async function startWithItself (t: Test, config: object, variables: Record<string, string> = {}) {
  const database = await createPostgres(t)
  const sql = new pg.Client({ connectionString: database })
  await sql.connect()
  t.teardown(() => sql.end())
  const service = await startService(t, { SUPABASE_DB_URL: database, ALLOW_PRIVATE_TOOL_HOSTS: '127.0.0.1', ...variables })
  await sql.query("insert into public.agents (user_id, name, description, purpose, is_published) values ($1, 'Helper', 'Knows figures.', 'To be asked.', true)", [DEMO_USER])
  await sql.query('insert into public.agent_functions (agent_id, name, function_type, trigger_keywords, config, execution_order) values ($1, $2, $3, $4, $5, 0)',
    [DEMO_AGENT, 'agents', 'mcp', [], { url: `${service.url}/mcp`, headers_json: JSON.stringify({ authorization: `Bearer ${DEMO_KEY}` }), ...config }])
  // The protocol's package is loaded with the first message, which from sources may take longer than a list of tools has.
  await service.request('POST', '/mcp', { body: { jsonrpc: '2.0', id: 1, method: 'ping' } })
  return { service, sql }
}

t.test('agents that call agents', async t => {
  if (!await findPostgres(t)) return

  t.test('an agent asks another one, which is a run of its own', async t => {
    const { service, sql } = await startWithItself(t, { allowed_tools: ['helper'] })
    service.gateway.reply = (response, call, number) => {
      const { messages, tools } = call.body
      const last = messages.at(-1)
      const answer = last.role === 'tool' ? say(`It is ${last.content}`) : tools ? callTool('helper', { message: 'How much?' }) : say('42')
      return answer(response, call, number)
    }
    const told = await service.execute()
    t.same(typesOf(told), ['started', 'step', 'chunk', 'tool_call', 'tool_result', 'step', 'chunk', 'done'])
    t.equal(told.text, 'Let me ask. It is 42')
    t.match(service.gateway.calls[0]!.body.tools, [{ function: { name: 'helper', description: 'Knows figures.', parameters: { required: ['message'] } } }])
    t.match(service.gateway.calls[1]!.body.messages.at(-1), { role: 'user', content: 'How much?' })
    const { rows } = await sql.query('select status, credits_charged from public.agent_runs order by created_at')
    t.match(rows, [{ status: 'succeeded', credits_charged: 1 }, { status: 'succeeded', credits_charged: 1 }])
  })

  t.test('one that asks itself for ever waits for a slot in the end, and to cancel it ends all that it has begun', async t => {
    const { service, sql } = await startWithItself(t, { allowed_tools: ['demo_agent'] }, { MAX_CONCURRENT_RUNS: '3' })
    service.gateway.reply = callTool('demo_agent', { message: 'Ask yourself' })
    const { body: { runId } } = await service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Ask yourself' }], background: true } })
    const unfinished = async () => (await sql.query('select status from public.agent_runs where finished_at is null order by created_at')).rows.map(({ status }) => status)
    await until(unfinished, statuses => statuses.join() === 'running,running,running,queued', 60)
    // The slot of the first that ends is the queued one's until its turn to be cancelled, and it would ask once more.
    service.gateway.reply = hang()
    await service.request('POST', `/api/runs/${runId}/cancel`)
    await until(unfinished, statuses => statuses.length === 0, 60)
    t.match(await endOf(service, runId), { status: 'cancelled' })
    const { rows } = await sql.query('select status from public.agent_runs')
    t.same(rows, Array(4).fill({ status: 'cancelled' }))
    t.match((await sql.query("select public.audit_credits() -> 'problems' as problems")).rows, [{ problems: [] }])
  })
})
