import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { Proxy } from '../chaos/proxy.js'
import { say } from '../support/doubles/gateway.js'
import { bearer, createPostgres, DEMO_AGENT, findPostgres, startService } from '../support/helper.js'

/** How many callers come at once: more than are sent alone. */
const AT_ONCE = 40

t.test('a run begins while connections to the database break', async t => {
  if (!await findPostgres(t)) return
  const direct = await createPostgres(t)
  const sql = new pg.Client({ connectionString: direct })
  await sql.connect()
  const { hostname, port } = new URL(direct)
  const proxy = new Proxy({ host: hostname, port: Number(port || 5432) })
  const url = Object.assign(new URL(direct), { hostname: '127.0.0.1', port: String(await proxy.open()) })
  const service = await startService(t, { SUPABASE_DB_URL: url.href, MAX_CONCURRENT_RUNS: '100', MAX_RUNS_PER_USER: '100', RATE_LIMIT_MAX: '1000' })
  const { gateway } = service
  t.teardown(async () => {
    await proxy.close()
    await sql.end()
  })
  await sql.query('update public.credit_balances set credits_remaining = 1000')
  const headers = await bearer()
  const ask = (content: string, more: Record<string, string> = {}) => service.request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content }], stream: false }, headers: { ...headers, ...more }
  })
  /** Loses the answers to the first calls that hold this text. */
  const lose = (text: string, times: number) => {
    let lost = 0
    proxy.losesAnswerTo = bytes => bytes.includes(text) && ++lost <= times
    return () => lost
  }
  const runs = async () => (await sql.query('select count(*)::integer as runs, sum(credits_charged)::integer as charged, max(attempt) as attempt, sum(credits_reserved)::integer as reserved from public.agent_runs')).rows[0]
  t.beforeEach(async () => {
    await sql.query('truncate public.agent_runs cascade')
    gateway.calls.length = 0
    gateway.reply = say('Hello')
    proxy.losesAnswerTo = () => false
  })

  t.test('whose answers are lost after the commit: no caller sees it, and every run is made and paid for once', async t => {
    const isLost = lose('Lose this', 3)
    t.match(await ask('Lose this'), { status: 200, body: { response: 'Hello', creditsUsed: 1 } })
    t.match(await ask('Lose this', { 'idempotency-key': 'a key' }), { status: 200, body: { response: 'Hello', creditsUsed: 1 } })
    t.ok(isLost() >= 3, 'answers were lost')
    t.equal(gateway.calls.length, 2)
    t.same(await runs(), { runs: 2, charged: 2, attempt: 1, reserved: 0 })
  })

  t.test('whose answers are lost for many at once', async t => {
    const isLost = lose('Lose this', 10)
    const answers = await Promise.all(Array.from({ length: AT_ONCE }, (_, number) => ask(`Lose this ${number}`)))
    t.same(answers.map(({ status }) => status), Array(AT_ONCE).fill(200))
    t.ok(isLost() >= 10, 'answers were lost')
    t.equal(gateway.calls.length, AT_ONCE)
    t.same(await runs(), { runs: AT_ONCE, charged: AT_ONCE, attempt: 1, reserved: 0 })
  })

  t.test('while the server is away for some seconds', async t => {
    await proxy.close()
    const asking = Promise.all(Array.from({ length: 10 }, () => ask('Hi')))
    await delay(3000)
    await proxy.open()
    t.same((await asking).map(({ status }) => status), Array(10).fill(200))
    t.same(await runs(), { runs: 10, charged: 10, attempt: 1, reserved: 0 })
  })

  t.test('but not for ever: who has waited for a while is told when to come again', async t => {
    await proxy.close()
    const since = performance.now()
    const asking = ask('Hi')
    t.match(await service.request('GET', '/health'), { status: 200 })
    const { status, headers, body } = await asking
    t.match({ status, body }, { status: 503, body: { code: 'database_unavailable', retryAfter: 5 } })
    t.equal(headers.get('retry-after'), '5')
    t.ok(performance.now() - since < 30_000)
    await proxy.open()
    t.match(await ask('Hi'), { status: 200 })
    t.match(await runs(), { runs: 1, charged: 1, reserved: 0 })
  })
})
