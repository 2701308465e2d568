import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { delta, frame, hang, inTurn, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { createPostgres, DEMO_AGENT, endOf, findPostgres, startService } from '../support/helper.js'

/** 500,000 tokens by the rule of thumb. */
const LONG = 'word'.repeat(500_000)

t.test('a prompt, where tokens cost something', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  const service = await startService(t, { SUPABASE_DB_URL: url })
  t.teardown(() => sql.end())
  const { gateway, request } = service
  const setRate = (perRun: number, perThousand: number) =>
    sql.query('insert into public.model_rates values (\'*\', $1, $2) on conflict (model) do update set credits_per_run = $1, credits_per_1k_tokens = $2', [perRun, perThousand])
  const begin = async (content: string) => request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content }], background: true }
  })
  const cancelAfterCall = async (content: string) => {
    gateway.reply = hang()
    const called = gateway.nextCall()
    const { body: { runId } } = await begin(content)
    await called
    return (await request('POST', `/api/runs/${runId}/cancel`)).body
  }
  const setBalance = (credits: number) => sql.query('update public.credit_balances set credits_remaining = $1', [credits])
  const isSound = async () => t.same((await request('GET', '/api/credits')).body.creditsReserved, 0)
  await setRate(1, 1)

  t.test('that costs more than its user has is refused, and no model is asked', async t => {
    await setBalance(20)
    t.match(await begin(LONG), { status: 402, body: { code: 'insufficient_credits' } })
    t.equal(gateway.calls.length, 0)
    await isSound()
  })

  t.test('is charged if its run is cancelled before the first token', async t => {
    await setBalance(1000)
    const run = await cancelAfterCall(LONG)
    t.match(run, { status: 'cancelled', creditsReserved: 0, usage: { completionTokens: 0, estimated: true } })
    t.ok(run.creditsCharged >= 500 && run.creditsCharged <= 501, `${run.creditsCharged} credits`)
    t.equal((await request('GET', '/api/credits')).body.creditsRemaining, 1000 - run.creditsCharged)
    const { rows } = await sql.query('select credits_used from public.credit_usage where run_id = $1', [run.runId])
    t.same(rows, [{ credits_used: run.creditsCharged }])
  })

  t.test('costs nothing if the run is cancelled while its next try waits', async t => {
    await setBalance(1000)
    gateway.reply = refuse(503, 'later', { 'retry-after': '20' })
    const { body: { runId } } = await begin(LONG)
    while (!service.logs.some(line => line.includes('retried') && line.includes(runId))) await delay(10)
    t.match((await request('POST', `/api/runs/${runId}/cancel`)).body, { status: 'cancelled', creditsCharged: 0 })
    t.equal((await request('GET', '/api/credits')).body.creditsRemaining, 1000)
  })

  t.test('costs nothing if the gateway fails before any output, however often it is asked', async t => {
    await setBalance(1000)
    const atOnce = { 'retry-after': '0' }
    for (const reply of [refuse(400, 'too long'), inTurn(refuse(503, 'later', atOnce), refuse(402, 'empty'))] as Reply[]) {
      gateway.calls.length = 0
      gateway.reply = reply
      const { body: { runId } } = await begin(LONG)
      t.match(await endOf(service, runId), { status: 'failed', creditsCharged: 0 })
    }
    t.equal((await request('GET', '/api/credits')).body.creditsRemaining, 1000)
  })

  t.test('is charged if the model answers nothing, without the price of a run', async t => {
    await setBalance(1000)
    gateway.reply = response => { openStream(response).end(frame({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }], usage: { prompt_tokens: 2000, completion_tokens: 1000 } })) }
    const { body: { runId } } = await begin('word'.repeat(2000))
    t.match(await endOf(service, runId), { status: 'failed', error: { code: 'gateway_answer_too_long' }, finishReason: 'length', response: '', creditsCharged: 3 })
  })

  t.test('and an answer cost no more than their texts can be, whatever a gateway reports', async t => {
    await setBalance(1000)
    gateway.reply = response => { openStream(response).end(delta('Hello') + frame({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: { prompt_tokens: 1e9, completion_tokens: 1e9, total_tokens: 4e9 } })) }
    const { body: { runId } } = await begin('Hi')
    const run = await endOf(service, runId)
    t.match(run, { status: 'succeeded', usage: { estimated: true } })
    t.ok(run.creditsCharged < 10, `${run.creditsCharged} credits`)
    t.ok(run.usage!.totalTokens < 10_000, `${run.usage!.totalTokens} tokens`)
  })

  t.test('that is cancelled costs nothing where runs have a price and tokens none', async t => {
    await setRate(1, 0)
    await setBalance(1)
    t.match(await cancelAfterCall(LONG), { status: 'cancelled', creditsCharged: 0 })
    gateway.reply = say('Hello')
    const { body: { runId } } = await begin(LONG)
    t.match(await endOf(service, runId), { status: 'succeeded', creditsCharged: 1 }, 'nor is anything held for it')
    await isSound()
  })
})
