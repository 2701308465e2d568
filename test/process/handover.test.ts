import t from 'tap'
import { delta, ending, type GatewayDouble, hang, inTurn, openStream, say } from '../support/doubles/gateway.js'
import { DEMO_AGENT, endOf, openEvents, parseStream, readStream, type Service, textOf } from '../support/helper.js'
import { callTool, offerTool, startTwo } from '../support/pair.js'

const STRANGER = '55555555-5555-4555-8555-555555555555'

async function begin ({ request }: Service): Promise<string> {
  const { body } = await request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })
  return body.runId
}

/** Reads a stream until it holds a text; the rest is read when asked for. */
async function readUntil (response: Response, text: string) {
  const reader = response.body!.getReader()
  let raw = ''
  while (!raw.includes(text)) raw += Buffer.from((await reader.read()).value!)
  return async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) raw += Buffer.from(next.value)
    return raw
  }
}

function answerLater (gateway: GatewayDouble, first: string): (rest: string) => void {
  let finish = (_rest: string) => {}
  gateway.reply = response => {
    openStream(response).write(delta(first))
    finish = rest => response.end(delta(rest) + ending())
  }
  return rest => finish(rest)
}

t.test('two processes beside one database', async t => {
  t.test('a run of a process that ends goes on in the other within two seconds', async t => {
    const { a, b } = await startTwo(t)
    a.gateway.reply = hang('half')
    b.gateway.reply = say('the whole')
    const runId = await begin(a)
    const rest = await readUntil(await openEvents(a.url, runId), 'half')
    const arriving = b.gateway.nextCall()
    const startedAt = Date.now()
    await a.app.close()
    await arriving
    t.ok(Date.now() - startedAt < 2000)
    const before = parseStream(await rest())
    t.equal(before.at(-1)!.type as string, 'reconnect')
    const cursor = before.filter(({ seq }) => seq).at(-1)!.seq
    const after = await readStream(await openEvents(b.url, runId, `?after=${cursor}`))
    t.equal(textOf([...before.slice(0, -1), ...after.events]), 'the whole')
    t.match(await endOf(b, runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
    t.match(await b.credits(), { creditsRemaining: 99, creditsReserved: 0 })
  })

  t.test('a reader whose run is under way in the other process gets it when it has ended', async t => {
    const { a, b } = await startTwo(t)
    const finish = answerLater(a.gateway, 'Hel')
    const arriving = a.gateway.nextCall()
    const runId = await begin(a)
    await arriving
    const reading = openEvents(b.url, runId).then(readStream)
    const waiting = b.request('GET', `/api/runs/${runId}`)
    t.match((await waiting).body, { status: 'running' })
    finish('lo')
    t.equal((await reading).text, 'Hello')
    t.equal(b.gateway.calls.length, 0)
  })

  t.test('a reader whose run is under way in the other process gets its steps as they end, numbered as there', async t => {
    const { a, b, sql } = await startTwo(t, { KEEP_MESSAGES: 'true' })
    await offerTool(sql)
    let finish = (_rest: string) => {}
    a.gateway.reply = inTurn(callTool('look_up', { user_input: 'x' }, 'First I look. '), response => {
      openStream(response).write(delta('Then I '))
      finish = rest => response.end(delta(rest) + ending())
    })
    const runId = await begin(a)
    const there = await readUntil(await openEvents(a.url, runId), 'Then I')
    const here = await readUntil(await openEvents(b.url, runId), 'tool_call')
    t.match((await b.request('GET', `/api/runs/${runId}`)).body, { status: 'running' })
    const ahead = await openEvents(b.url, runId, '?after=500')
    t.equal(ahead.status, 200, 'who has read more of it elsewhere is not refused for what is not known here')
    finish('know.')
    await ahead.text()
    const [told, elsewhere] = [parseStream(await there()), parseStream(await here())]
    t.same(elsewhere, told)
    t.equal(textOf(told), 'First I look. Then I know.')
    t.equal(b.logs.filter(line => line.includes('REDIS_URL would stream it')).length, 1)
  })

  t.test('what a later attempt tells is not taken for a part of the earlier one', async t => {
    const { a, b, sql } = await startTwo(t)
    await offerTool(sql)
    b.gateway.reply = say('Then I know.')
    a.gateway.reply = inTurn(callTool('look_up', { user_input: 'x' }, 'First I look. '), hang('Then '))
    const runId = await begin(a)
    const there = await readUntil(await openEvents(a.url, runId), 'Then ')
    const here = await readUntil(await openEvents(b.url, runId), 'tool_call')
    await a.app.close()
    await there()
    const events = parseStream(await here())
    t.equal(textOf(events), 'First I look. Then I know.')
    t.match(events.findLast(({ type }) => type === 'started'), { attempt: 2, seq: 1_000_000_001 })
  })

  t.test('a run is cancelled from the other process', async t => {
    const { a, b } = await startTwo(t)
    a.gateway.reply = hang('half')
    const arriving = a.gateway.nextCall()
    const runId = await begin(a)
    const call = await arriving
    await readUntil(await openEvents(a.url, runId), 'half')
    t.match((await b.request('POST', `/api/runs/${runId}/cancel`)).body, { status: 'cancelled', response: 'half', creditsCharged: 1 })
    await call.closed
  })

  t.test('a process whose run was taken over writes nothing more, and sends its readers on', async t => {
    const { a, sql } = await startTwo(t)
    const finish = answerLater(a.gateway, 'half')
    const runId = await begin(a)
    const rest = await readUntil(await openEvents(a.url, runId), 'half')
    // As if it had been frozen for longer than its lease: somebody else has the run by now.
    await sql.query('update public.agent_runs set attempt = 2, owner = $1, lease_until = now() + interval \'1 hour\' where id = $2', [STRANGER, runId])
    finish(' and half')
    t.equal(parseStream(await rest()).at(-1)!.type as string, 'reconnect')
    const [run] = await sql.query('select status, attempt, response, credits_reserved from public.agent_runs where id = $1', [runId])
    t.same(run, { status: 'running', attempt: 2, response: '', credits_reserved: 1 })
    t.same(await sql.query('select from public.credit_usage', []), [])
  })

  t.test('a process that hears that its run was taken over stops the model', async t => {
    const { a, sql } = await startTwo(t)
    a.gateway.reply = hang('half')
    const arriving = a.gateway.nextCall()
    const runId = await begin(a)
    const call = await arriving
    await sql.query('update public.agent_runs set attempt = 2, owner = $1, lease_until = now() + interval \'1 hour\' where id = $2', [STRANGER, runId])
    await sql.query('delete from public.agent_workers', [])
    await call.closed
    t.match((await a.request('GET', `/api/runs/${runId}`)).body, { status: 'running', attempt: 2, response: '' })
  })

  t.test('a run over which one process after the other died is ended, and costs nothing', async t => {
    const { a, sql } = await startTwo(t)
    const { rows: [{ id }] } = {
      rows: await sql.query(`insert into public.agent_runs
        (user_id, agent_id, status, request_hash, credits_reserved, owner, lease_until, crashes)
      values ($1, $2, 'running', '', 0, $3, now() - interval '1 minute', 19) returning id`,
      ['11111111-1111-4111-8111-111111111111', DEMO_AGENT, STRANGER])
    } as { rows: [{ id: string }] }
    t.match(await endOf(a, id), { status: 'failed', error: { code: 'crashed_too_often' }, creditsCharged: 0 })
  })
})

t.test('what is kept of a run', async t => {
  t.test('its input goes when it ends, unless KEEP_MESSAGES', async t => {
    for (const [keep, kept] of [['false', 0], ['true', 1]] as const) {
      const { a, sql } = await startTwo(t, { KEEP_MESSAGES: keep })
      const finish = answerLater(a.gateway, 'a')
      const arriving = a.gateway.nextCall()
      const runId = await begin(a)
      await arriving
      const [stored] = await sql.query('select input from public.agent_run_inputs where run_id = $1', [runId])
      t.match(stored, { input: { messages: [{ role: 'user', content: 'Hi' }], agent: { name: 'Demo agent' } } })
      finish('b')
      await endOf(a, runId)
      t.equal((await sql.query('select from public.agent_run_inputs where run_id = $1', [runId])).length, kept)
    }
  })

  t.test('its answer goes after RUN_RETENTION_DAYS, the run and the ledger stay', async t => {
    const { a, sql } = await startTwo(t)
    const told = await a.execute()
    const runId = told.headers.get('x-run-id')!
    await sql.query('update public.agent_runs set finished_at = now() - interval \'31 days\' where id = $1', [runId])
    t.same(await a.app.database.call('erase_old_runs', { p_days: 31.5, p_limit: 10 }), { erased: 0 })
    t.same(await a.app.database.call('erase_old_runs', { p_days: 30, p_limit: 10 }), { erased: 1 })
    t.same(await a.app.database.call('erase_old_runs', { p_days: 30, p_limit: 10 }), { erased: 0 }, 'once')
    t.match((await a.request('GET', `/api/runs/${runId}`)).body, { status: 'succeeded', response: '', creditsCharged: 1 })
    t.equal((await sql.query('select from public.agent_run_traces', [])).length, 0)
    t.equal((await sql.query('select from public.credit_usage', [])).length, 1)
  })
})
