import t from 'tap'
import { hang, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, openEvents, readStream, startService, typesOf } from '../support/helper.js'

t.test('cancelling a run', async t => {
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1' })
  const { gateway, request, execute, url } = service
  const begin = async () => (await request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })).body

  t.test('stops the model within a second, keeps what was said, charges it, and answers the same when repeated', async t => {
    const before = await service.credits()
    gateway.reply = hang('half an answer')
    const arriving = gateway.nextCall()
    const reading = execute()
    const call = await arriving
    const { body: { runs: [run] } } = await request('GET', '/api/runs?limit=1')
    const events = await openEvents(url, run.runId)
    const reader = events.body!.getReader()
    for (let seen = ''; !seen.includes('half');) seen += Buffer.from((await reader.read()).value!)
    const startedAt = Date.now()
    const first = await request('POST', `/api/runs/${run.runId}/cancel`)
    await call.closed
    t.ok(Date.now() - startedAt < 1000)
    t.match(first, { status: 200, body: { status: 'cancelled', response: 'half an answer', creditsCharged: 1, creditsReserved: 0 } })
    t.same((await request('POST', `/api/runs/${run.runId}/cancel`)).body, first.body)
    const told = await reading
    t.match(told.events.at(-1), { type: 'cancelled', runId: run.runId, creditsUsed: 1 })
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
    t.equal((await service.credits()).creditsRemaining, before.creditsRemaining - 1)
  })

  t.test('before its first word costs nothing', async t => {
    const before = await service.credits()
    gateway.reply = hang()
    const arriving = gateway.nextCall()
    const run = await begin()
    await arriving
    t.match((await request('POST', `/api/runs/${run.runId}/cancel`)).body, { status: 'cancelled', creditsCharged: 0 })
    t.same(await service.credits(), before)
  })

  t.test('while it waits for its slot ends it there', async t => {
    gateway.reply = hang()
    const arriving = gateway.nextCall()
    const running = await begin()
    await arriving
    const waiting = await begin()
    t.equal(waiting.status, 'queued')
    t.match((await request('POST', `/api/runs/${waiting.runId}/cancel`)).body, { status: 'cancelled', creditsCharged: 0 })
    t.same(typesOf(await readStream(await openEvents(url, waiting.runId))), ['queued', 'cancelled'])
    await request('POST', `/api/runs/${running.runId}/cancel`)
  })

  t.test('once it has ended changes nothing', async t => {
    gateway.reply = say('done')
    const told = await execute()
    const { body } = await request('POST', `/api/runs/${told.headers.get('x-run-id')}/cancel`)
    t.match(body, { status: 'succeeded', response: 'done', creditsCharged: 1 })
  })

  t.test('gives 409 to a caller who waits for the whole answer', async t => {
    gateway.reply = hang('half')
    const arriving = gateway.nextCall()
    const waiting = request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }, headers: await bearer()
    })
    await arriving
    const { body: { runs: [run] } } = await request('GET', '/api/runs?limit=1')
    await request('POST', `/api/runs/${run.runId}/cancel`)
    t.match(await waiting, { status: 409, body: { code: 'run_cancelled', runId: run.runId } })
  })
})

t.test('a run in the background', async t => {
  const service = await startService(t)
  const { gateway, request } = service

  t.test('is answered at once with 202 and can be asked for until it has ended', async t => {
    gateway.reply = say('Hello')
    const { status, headers, body } = await request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    })
    t.equal(status, 202)
    t.match(body, { status: 'running', agentId: DEMO_AGENT, attempt: 1, response: '', creditsReserved: 1, finishedAt: null })
    t.equal(headers.get('location'), `/api/runs/${body.runId}`)
    const told = await readStream(await openEvents(service.url, body.runId))
    t.equal(told.text, 'Hello')
    t.match((await request('GET', `/api/runs/${body.runId}`)).body, { status: 'succeeded', response: 'Hello' })
  })
})
