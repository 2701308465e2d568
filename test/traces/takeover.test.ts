import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { hang, inTurn, say, startGateway } from '../support/doubles/gateway.js'
import { creditsOf, isOfRun, startCollector, toTree } from '../support/doubles/otlp-collector.js'
import { startPostgrest } from '../support/doubles/postgrest.js'
import { BACKEND_SECRET, bearer, createDataDir, DEMO_AGENT, endOf, JWT_SECRET, readStream } from '../support/helper.js'
import { callTool, offerTool, startTwo } from '../support/pair.js'
import { commandOf } from '../support/process.js'

const CALLER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const CHAT = 'chat google/gemini-2.5-flash'
/** A run of two attempts, of which the first has made the first model step and the tool's. */
const WHOLE = [
  'POST /api/agent/execute',
  '  invoke_agent',
  '    attempt 1',
  '      step 1',
  `        ${CHAT}`,
  '      step 2',
  '        execute_tool look_up',
  '    attempt 2',
  '      step 3',
  `        ${CHAT}`
]

t.test('a run of a process that ends is one trace with its second attempt: each step once, and the ledger\'s credits', async t => {
  const collector = await startCollector(t)
  const { a, b, sql } = await startTwo(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  await offerTool(sql)
  a.gateway.reply = inTurn(callTool('look_up', { user_input: 'x' }, 'First I look. '), hang('Then '))
  b.gateway.reply = say('Then I know.')
  const { body: { runId } } = await a.request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }, headers: { traceparent: CALLER }
  })
  while (a.gateway.calls.length < 2) await a.gateway.nextCall()
  await a.app.close()
  t.match(await endOf(b, runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
  const spans = await collector.traceOf(runId)
  t.same(toTree(spans), WHOLE)
  t.equal(creditsOf(spans), 1)
  t.equal(new Set(spans.map(({ spanId }) => spanId)).size, spans.length)
  t.equal(b.gateway.calls[0]!.headers.traceparent, `00-${spans[0]!.traceId}-${spans.findLast(({ name }) => name === CHAT)!.spanId}-01`)
  t.match(spans.find(({ name }) => name === 'attempt 1')!.attributes, { 'jeesi.attempt.number': 1, 'jeesi.attempt.end': 'taken_over' })
})

/** Starts the program that is deployed, with a pid to kill. */
async function startProcess (t: Test, variables: Record<string, string>) {
  const gateway = await startGateway(t)
  const child = spawn(...commandOf('server.js', [], {
    PORT: '0',
    HOST: '127.0.0.1',
    NODE_ENV: 'test',
    SUPABASE_JWT_SECRET: JWT_SECRET,
    RAILWAY_BACKEND_SECRET: BACKEND_SECRET,
    AI_GATEWAY_URL: gateway.url,
    LOVABLE_API_KEY: 'test-gateway-key',
    ...variables
  }), { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'ignore'] })
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  t.teardown(kill)
  let url = ''
  for await (const line of createInterface({ input: child.stdout })) if ((url = /"message":"listening at ([^"]+)"/.exec(line)?.[1] ?? '')) break
  child.stdout.resume()
  return { url, gateway, kill }
}

t.test('so is one of a process that is killed in the middle of a stream', async t => {
  const collector = await startCollector(t)
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  t.teardown(() => pglite.close())
  const sql = { query: async (text: string, values: unknown[]) => (await pglite.query<Record<string, any>>(text, values)).rows }
  const shared = { SUPABASE_URL: await startPostgrest(t, sql, 'service-role-key'), SUPABASE_SERVICE_ROLE_KEY: 'service-role-key', OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
  await offerTool(sql)
  await sql.query('insert into public.model_rates (model, credits_per_run, credits_per_1k_tokens) values ($1, 2, 5) on conflict (model) do update set credits_per_run = 2, credits_per_1k_tokens = 5', ['*'])
  const [a, b] = [await startProcess(t, shared), await startProcess(t, shared)]
  a.gateway.reply = inTurn(callTool('look_up', { user_input: 'x' }, 'First I look. '), hang('Then '))
  b.gateway.reply = say('Then I know.')
  const headers = { 'content-type': 'application/json', ...await bearer(), traceparent: CALLER }
  const begun = await fetch(`${a.url}/api/agent/execute`, { method: 'POST', headers, body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }) })
  const runId = begun.headers.get('x-run-id')!
  while (a.gateway.calls.length < 2) await a.gateway.nextCall()
  await collector.when(spans => spans.some(({ name }) => name === 'POST /api/agent/execute'))
  await a.kill()
  await begun.text().catch(() => {})
  const told = await readStream(await fetch(`${b.url}/api/runs/${runId}/events`, { headers }))
  t.equal(told.events.at(-1)!.type, 'done')
  const spans = await collector.traceOf(runId)
  t.same(toTree(spans.filter(span => span.name !== 'GET /api/runs/:id/events')), WHOLE)
  const [row] = await sql.query('select sum(credits_used)::int as credits from public.credit_usage where run_id = $1', [runId])
  t.equal(creditsOf(spans), row!.credits)
  t.equal(spans.filter(span => isOfRun(span, runId)).length, 1)
  const stepCredits = spans.reduce((sum, { attributes }) => sum + Number(attributes['jeesi.step.credits'] ?? 0), 0)
  t.equal(stepCredits, row!.credits, 'and so are those of its steps')
})
