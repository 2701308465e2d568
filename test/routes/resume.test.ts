import t from 'tap'
import { delta, ending, hang, openStream, refuse, say, startGateway } from '../support/doubles/gateway.js'
import { bearer, createDataDir, DEMO_AGENT, endOf, openEvents, OTHER_USER, PLAIN, readStream, startService, typesOf } from '../support/helper.js'

const UNKNOWN = '99999999-9999-4999-8999-999999999999'

t.test('a run\'s events can be picked up anywhere', async t => {
  const service = await startService(t)
  const { gateway, request, execute, url } = service
  const events = async (runId: string, query = '', headers: Record<string, string> = {}) =>
    readStream(await openEvents(url, runId, query, headers))

  t.test('after the end every cursor gives what follows it, and nothing twice', async t => {
    gateway.reply = response => {
      openStream(response)
      const pieces = ['Grüße', ' an', ' alle', ' 🙂']
      const next = () => {
        const piece = pieces.shift()
        if (piece === undefined) return response.end(ending())
        response.write(delta(piece), () => setImmediate(next))
      }
      next()
    }
    const whole = await execute()
    t.equal(whole.text, 'Grüße an alle 🙂')
    const runId = whole.headers.get('x-run-id')!
    for (const { seq } of [{ seq: 0 }, ...whole.events]) {
      const rest = await events(runId, `?after=${seq}`)
      t.same(rest.events, whole.events.slice(seq), `after ${seq}`)
      t.ok(rest.raw.endsWith('data: [DONE]\n\n'))
      t.same((await events(runId, '', { 'last-event-id': String(seq) })).events, rest.events, 'the header says the same')
    }
    t.same((await events(runId, '?after=0', { 'last-event-id': '2' })).events, whole.events.slice(2), 'the header wins')
  })

  t.test('an EventSource that has all of a finished run is told by 204 to ask no more', async t => {
    const endings: Array<[string, () => Promise<string>]> = [
      ['succeeded', async () => {
        gateway.reply = say('Hello')
        return (await execute()).headers.get('x-run-id')!
      }],
      ['failed', async () => {
        gateway.reply = refuse(402)
        return (await execute()).headers.get('x-run-id')!
      }],
      ['cancelled', async () => {
        gateway.reply = hang('half')
        const arriving = gateway.nextCall()
        const { body: { runId } } = await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true } })
        await arriving
        await request('POST', `/api/runs/${runId}/cancel`)
        return runId
      }]
    ]
    for (const [status, end] of endings) {
      const runId = await end()
      t.match(await endOf(service, runId), { status })
      for (const known of [{}, PLAIN, { 'x-stream-events': 'reconnect' }]) {
        const whole = await events(runId, '', known)
        const last = whole.events.at(-1)!.seq
        for (const asked of [openEvents(url, runId, '', { ...known, 'last-event-id': String(last) }), openEvents(url, runId, `?after=${last}`, { ...known, accept: 'text/event-stream' })]) {
          const answer = await asked
          t.equal(answer.status, 204, status)
          t.equal(await answer.text(), '')
          t.equal(answer.headers.get('x-run-id'), runId)
        }
        t.match(await events(runId, '', { ...known, 'last-event-id': String(last - 1) }), { status: 200, raw: /\[DONE\]\n\n$/ })
        t.match(await events(runId, '', { ...known, accept: 'text/event-stream' }), { status: 200, raw: whole.raw }, 'and one that has nothing is told all')
        t.match(await events(runId, `?after=${last}`, known), { status: 200, raw: 'data: [DONE]\n\n' }, 'who does not ask by itself is told that it is over')
      }
      t.match(await openEvents(url, runId, '', { 'last-event-id': '1000' }), { status: 400 })
      t.match(await openEvents(url, runId, '', { 'last-event-id': '3', ...await bearer(OTHER_USER) }), { status: 404 }, 'of whose run it is')
    }
  })

  t.test('the id of a run may be written in capitals, as some languages do', async t => {
    gateway.reply = say('Hello')
    const whole = await execute()
    const runId = whole.headers.get('x-run-id')!
    const last = whole.events.at(-1)!.seq
    t.match(await events(runId.toUpperCase()), { raw: whole.raw })
    t.match(await openEvents(url, runId.toUpperCase(), '', { 'last-event-id': String(last) }), { status: 204 })
    t.match(await openEvents(url, runId.toUpperCase(), '', { 'last-event-id': '1000' }), { status: 400 })
    gateway.reply = hang('half')
    const arriving = gateway.nextCall()
    const { body: { runId: hanging } } = await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true } })
    await arriving
    const following = events(hanging.toUpperCase())
    t.match(await request('POST', `/api/runs/${hanging.toUpperCase()}/cancel`), { status: 200, body: { runId: hanging, status: 'cancelled', response: 'half' } })
    t.match((await following).events.at(-1), { type: 'cancelled', runId: hanging })
  })

  t.test('an EventSource of a run that goes on waits for what comes', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const { body: { runId } } = await request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    })
    const reader = (await openEvents(url, runId)).body!.getReader()
    for (let seen = ''; !seen.includes('Hel');) seen += Buffer.from((await reader.read()).value!)
    const rest = await openEvents(url, runId, '', { 'last-event-id': '2' })
    t.equal(rest.status, 200)
    finish()
    t.match((await readStream(rest)).events, [{ type: 'chunk', content: 'lo' }, { type: 'done' }])
  })

  t.test('while the run is going a reader gets the backlog and then what comes', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const { body: run } = await request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    })
    const first = await openEvents(url, run.runId)
    const reader = first.body!.getReader()
    let seen = ''
    while (!seen.includes('Hel')) seen += Buffer.from((await reader.read()).value!)
    const second = events(run.runId, '?after=1')
    finish()
    t.equal((await second).text, 'Hello')
    await reader.cancel()
    t.equal((await events(run.runId)).text, 'Hello')
  })

  t.test('cursors that are none get a clear word', async t => {
    gateway.reply = say('Hello')
    const { headers } = await execute()
    const path = `/api/runs/${headers.get('x-run-id')}/events`
    for (const query of ['?after=-1', '?after=x', '?after=1.5']) {
      t.match(await request('GET', path + query), { status: 400, body: { code: 'bad_request', details: [{ path: 'after' }] } }, query)
    }
    t.match(await request('GET', path, { headers: { ...await bearer(), 'last-event-id': 'x' } }), { status: 400 })
    t.match(await request('GET', `${path}?after=1000`), { status: 400, body: { error: /no event 1000/ } })
  })

  t.test('another user\'s run and an unknown one are not there', async t => {
    const runId = (await execute()).headers.get('x-run-id')!
    for (const [method, path] of [['GET', 'events'], ['POST', 'cancel']]) {
      t.match(await request(method!, `/api/runs/${runId}/${path}`, { headers: await bearer(OTHER_USER) }), { status: 404, body: { code: 'run_not_found' } })
      t.match(await request(method!, `/api/runs/${UNKNOWN}/${path}`), { status: 404, body: { code: 'run_not_found' } })
    }
  })
})

t.test('a caller who resumes without end is held off, and the run is not', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '100' })
  const runId = (await service.execute()).headers.get('x-run-id')!
  const answers = await Promise.all(Array.from({ length: 1000 }, () => openEvents(service.url, runId)))
  const statuses = answers.map(({ status }) => status)
  t.equal(statuses.filter(status => status === 200).length, 99)
  t.equal(statuses.filter(status => status === 429).length, 901)
  for (const answer of answers.filter(({ status }) => status === 200)) t.equal((await readStream(answer)).text, 'Hello world')
})

t.test('a quiet run\'s stream is kept alive by comments', async t => {
  // A beat comes every quarter of the longest time that a connection may last, here 6 s.
  const service = await startService(t, { SSE_MAX_SECONDS: '24' })
  service.gateway.reply = hang('Hel')
  const arriving = service.gateway.nextCall()
  const { body: run } = await service.request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })
  await arriving
  const reader = (await openEvents(service.url, run.runId)).body!.getReader()
  let seen = ''
  const readUntil = async (text: string) => { while (!seen.includes(text)) seen += Buffer.from((await reader.read()).value!) }
  await readUntil('Hel')
  const { now } = Date
  t.intercept(Date, 'now', { value: () => now() + 7_500 })
  await readUntil(': ping\n\n')
  t.notOk(seen.includes('reconnect'))
  await reader.cancel()
})

t.test('after a restart a finished run is told again, to the letter and the number where messages are kept', async t => {
  const dataDir = await createDataDir(t)
  const before = await startService(t, { DATA_DIR: dataDir, KEEP_MESSAGES: 'true' })
  before.gateway.reply = (response, _call, number) => {
    openStream(response).write(delta('first') + delta(' try'))
    // The first try breaks off after its words were read, and is taken back.
    if (number === 1) setTimeout(() => response.destroy(), 50)
    else response.end(delta(' and last') + ending())
  }
  const key = { ...await bearer(), 'idempotency-key': 'once' }
  const whole = await before.execute({}, key)
  t.same(typesOf(whole).filter(type => type === 'rewind').length, 1)
  t.equal(whole.text, 'first try and last')
  const runId = whole.headers.get('x-run-id')!
  await before.app.close()

  const after = await startService(t, { DATA_DIR: dataDir })
  for (const { seq } of [{ seq: 0 }, ...whole.events]) {
    const told = await readStream(await openEvents(after.url, runId, `?after=${seq}`))
    t.same(told.events, whole.events.slice(seq), `after ${seq}`)
  }
  t.same((await after.execute({}, key)).events, whole.events, 'the Idempotency-Key replays it')
  t.equal(after.gateway.calls.length, 0)
})

t.test('a run that was under way when its process ended is finished by the next', async t => {
  const dataDir = await createDataDir(t)
  const before = await startService(t, { DATA_DIR: dataDir })
  before.gateway.reply = hang('half')
  const reading = before.execute()
  const call = await before.gateway.nextCall()
  const goodbye = await Promise.all([reading, before.app.close()]).then(([told]) => told)
  t.same(goodbye.events.at(-1)!.type, 'reconnect', 'its reader is told to reconnect')
  await call.closed
  const runId = goodbye.headers.get('x-run-id')!

  // It answers before the service starts, which may take the run over before it listens.
  const gateway = await startGateway(t)
  gateway.reply = say('whole')
  const after = await startService(t, { DATA_DIR: dataDir }, gateway.url)
  const told = await readStream(await openEvents(after.url, runId, `?after=${goodbye.events.filter(({ seq }) => seq).at(-1)!.seq}`))
  t.match(told.events.slice(0, 2), [{ type: 'started', attempt: 2 }, { type: 'rewind', to: 0 }])
  t.equal(told.text, 'whole')
  t.same(gateway.calls[0]!.body.messages, call.body.messages, 'the model is asked the same')
  t.match(await endOf(after, runId), { status: 'succeeded', attempt: 2, response: 'whole', creditsCharged: 1 })
  t.match(await after.credits(), { creditsRemaining: 99, creditsReserved: 0 })
})
