import t from 'tap'
import { answerWith, passTo, startBackendDouble } from '../support/doubles/backend.js'
import { delta, ending, hang, openStream, say } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, readUntil, startBackend, startEdge, startProject } from '../support/edge.js'
import { bearer, DEMO_AGENT, DEMO_KEY, OTHER_USER, parseStream, PLAIN, readStream, textOf } from '../support/helper.js'

const UNKNOWN = '99999999-9999-4999-8999-999999999999'

t.test('a run is asked for, followed and cancelled through the edge function', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const { gateway } = service
  const wire = await startBackendDouble(t, passTo(service.url))
  const variables = { AI_GATEWAY_URL: gateway.url }
  const edge = await startEdge(t, deno, project, { ...variables, RAILWAY_BACKEND_URL: wire.url })
  const alone = await startEdge(t, deno, project, variables)
  t.beforeEach(() => {
    gateway.reply = say('Hello', ' world')
    wire.handler = passTo(service.url)
    wire.visits = []
  })
  const events = async (runId: string, query = '', headers: Record<string, string> = {}, at = edge) =>
    readStream(await fetch(`${at.url}/runs/${runId}/events${query}`, { headers: { ...await bearer(), ...headers } }))
  /** Begins a run that says one word and waits. */
  const begin = async (at = edge, body: object = HEAVY) => {
    let finish = (_rest: string) => {}
    gateway.reply = response => {
      openStream(response).write(delta('half'))
      finish = rest => { response.end(delta(rest) + ending()) }
    }
    const response = await at.open(body)
    const stream = await readUntil(response, 'half')
    return { ...stream, runId: response.headers.get('x-run-id')!, finish: (rest: string) => finish(rest) }
  }

  t.test('an EventSource that has all of a finished run is told by 204 to ask no more, wherever the run was', async t => {
    for (const [at, body] of [[edge, HEAVY], [alone, {}]] as const) {
      const response = await at.open(body)
      const runId = response.headers.get('x-run-id')!
      const last = String((await readStream(response)).events.at(-1)!.seq)
      const ask = async (headers: Record<string, string>, query = '') =>
        fetch(`${at.url}/runs/${runId}/events${query}`, { headers: { ...await bearer(), ...headers } })
      for (const known of [{}, PLAIN] as Array<Record<string, string>>) {
        for (const asked of [ask({ ...known, 'last-event-id': last }), ask({ ...known, accept: 'text/event-stream' }, `?after=${last}`)]) {
          const answer = await asked
          t.equal(answer.status, 204)
          t.equal(await answer.text(), '')
          t.equal(answer.headers.get('access-control-allow-origin'), '*')
        }
        t.match(await events(runId, '', { ...known, 'last-event-id': '1' }, at), { status: 200, raw: /\[DONE\]\n\n$/ })
        t.match(await events(runId, `?after=${last}`, known, at), { status: 200, raw: 'data: [DONE]\n\n' })
      }
    }
  })

  t.test('at the backend, with the caller\'s own credentials and never the secret', async t => {
    const { runId, leave, finish } = await begin()
    await leave()
    wire.visits = []
    for (let n = 0; n < 2; n++) t.match(await edge.request('GET', `/runs/${runId}`), { status: 200, body: { runId, status: 'running', response: 'half' } })
    t.match(await edge.request('GET', `/runs/${runId}`, { headers: { 'x-api-key': DEMO_KEY } }), { status: 404, body: { code: 'run_not_found' } }, 'a key sees what it began')
    const following = events(runId, '?after=1')
    finish(' and half')
    const told = await following
    t.same(told.events.map(({ seq }) => seq), [2, 3, 4])
    t.equal(told.text, 'half and half')
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
    t.same((await events(runId, '', { 'last-event-id': '3' })).events.map(({ seq }) => seq), [4])
    t.ok(wire.visits.length >= 4)
    for (const { headers } of wire.visits) {
      t.notOk('x-railway-secret' in headers)
      t.ok('authorization' in headers || 'x-api-key' in headers)
    }
  })

  t.test('cancelled, it is settled once and its readers are told', async t => {
    const { runId, rest } = await begin()
    const { status, body } = await edge.request('POST', `/runs/${runId}/cancel`)
    t.equal(status, 200)
    t.match(body, { runId, status: 'cancelled', response: 'half', creditsCharged: 1 })
    t.match(parseStream(await rest()).at(-1), { type: 'cancelled', creditsUsed: 1 })
    t.match(await edge.request('POST', `/runs/${runId}/cancel`), { status: 200, body: { status: 'cancelled' } }, 'and again')
  })

  t.test('where the agent has an address of its own, there', async t => {
    const { runId } = (await edge.execute(HEAVY)).events[0] as { runId: string }
    const own = await startBackendDouble(t, passTo(service.url))
    await project.query('update public.agents set railway_url = $1 where id = $2', [own.url, DEMO_AGENT])
    t.match(await edge.request('GET', `/runs/${runId}`), { status: 200, body: { runId } })
    t.match(own.visits, [{ path: `/api/runs/${runId}` }])
    await project.query('update public.agents set railway_url = null where id = $1', [DEMO_AGENT])
  })

  t.test('another\'s is not there, and nobody is asked for it', async t => {
    const { runId } = (await edge.execute(HEAVY)).events[0] as { runId: string }
    wire.visits = []
    const headers = await bearer(OTHER_USER)
    for (const [method, path] of [['GET', ''], ['GET', '/events'], ['POST', '/cancel']] as const) {
      t.match(await edge.request(method, `/runs/${runId}${path}`, { headers }), { status: 404, body: { code: 'run_not_found' } })
      t.match(await edge.request(method, `/runs/${UNKNOWN}${path}`), { status: 404, body: { code: 'run_not_found' } })
      t.match(await edge.request(method, `/runs/${runId}${path}`, { headers: {} }), { status: 401 })
    }
    t.equal(wire.visits.length, 0)
  })

  t.test('a cursor that is none gets a clear word', async t => {
    const { runId } = (await edge.execute(HEAVY)).events[0] as { runId: string }
    for (const at of [edge, alone]) {
      t.match(await at.request('GET', `/runs/${runId}/events?after=x`), { status: 400, body: { code: 'bad_request', error: String } })
    }
  })

  t.test('where the backend cannot be reached the database tells what it knows', async t => {
    const told = await edge.execute(HEAVY)
    const runId = told.headers.get('x-run-id')!
    for (const handler of [answerWith(503, { error: 'no' }), answerWith(302, {}, { location: service.url }), answerWith(401, {})]) {
      wire.handler = handler
      t.match(await edge.request('GET', `/runs/${runId}`), { status: 200, body: { runId, status: 'succeeded', response: 'Hello world' } })
      t.match(await edge.request('POST', `/runs/${runId}/cancel`), { status: 200, body: { status: 'succeeded' } })
      for (const { seq } of [{ seq: 0 }, ...told.events]) {
        t.same((await events(runId, `?after=${seq}`)).events, told.events.slice(seq), `after ${seq}`)
      }
    }
    wire.handler = passTo(service.url)
    const { runId: other, finish, rest } = await begin()
    wire.handler = answerWith(503, { error: 'no' })
    t.match(await edge.request('GET', `/runs/${other}`), { status: 200, body: { status: 'running' } })
    t.match(await edge.request('GET', `/runs/${other}/events`), { status: 503, body: { code: 'run_elsewhere', runId: other } })
    finish('!')
    await rest()
  })

  t.test('before the wall clock its reader is sent on', async t => {
    const short = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: service.url, EDGE_MAX_SECONDS: '3' })
    const { runId, leave, finish } = await begin()
    await leave()
    const told = await events(runId, '?after=1', {}, short)
    t.match(told.events, [{ type: 'chunk', content: 'half' }, { type: 'reconnect', after: 2, url: `${service.url}/api/runs/${runId}/events` }])
    const nothing = await events(runId, '?after=2', {}, short)
    t.match(nothing.events, [{ type: 'reconnect', after: 2 }], 'where nothing was told meanwhile it stands where it stood')
    finish('!')
    await project.endOf(runId)
  })

  t.test('one that is under way in the function is followed and cancelled there', async t => {
    for (const at of [edge, alone]) {
      const { runId, rest } = await begin(at, {})
      t.match(await at.request('GET', `/runs/${runId.toUpperCase()}`), { status: 200, body: { runId, status: 'running' } })
      const following = await readUntil(await fetch(`${at.url}/runs/${runId.toUpperCase()}/events?after=1`, { headers: await bearer() }), 'half')
      t.notOk(following.seen.includes('started'))
      const startedAt = Date.now()
      t.match(await at.request('POST', `/runs/${runId}/cancel`), { status: 200, body: { status: 'cancelled', response: 'half', creditsCharged: 1 } })
      t.ok(Date.now() - startedAt < 3000, 'before its next heartbeat')
      const all = parseStream(await rest())
      t.match(all.at(-1), { type: 'cancelled' })
      t.same(parseStream(await following.rest()), all.slice(1))
    }
  })

  t.test('however many were cancelled before, the next one is', async t => {
    // The runtime collects garbage meanwhile, and must not forget what ends the reading of an answer.
    for (let n = 0; n < 6; n++) {
      const { runId, rest } = await begin(edge, {})
      const following = await readUntil(await fetch(`${edge.url}/runs/${runId}/events?after=1`, { headers: await bearer() }), 'half')
      t.match(await edge.request('POST', `/runs/${runId}/cancel`), { status: 200, body: { status: 'cancelled' } })
      t.same(parseStream(await following.rest()), parseStream(await rest()).slice(1))
    }
  })

  t.test('one that is under way in another isolate is cancelled by its next heartbeat, which tells of one that was taken over too', async t => {
    const { runId, rest } = await begin(alone, {})
    const taken = await begin(alone, {})
    await project.query('update public.agent_runs set attempt = 2, owner = $1, lease_until = now() + interval \'1 hour\' where id = $2', [UNKNOWN, taken.runId])
    gateway.reply = hang()
    t.match(parseStream(await taken.rest()).at(-1), { type: 'reconnect', after: 2, runId: taken.runId })
    t.match(await service.request('GET', `/api/runs/${taken.runId}`), { body: { status: 'running', attempt: 2, response: '' } })
    t.match(await edge.request('POST', `/runs/${runId}/cancel`), { status: 200, body: { status: 'cancelled', creditsCharged: 1 } })
    t.equal(textOf(parseStream(await rest())), 'half')
  })

  t.test('without a backend what has ended is told from the database, and what has not is not', async t => {
    const told = await alone.execute()
    const runId = told.headers.get('x-run-id')!
    const other = await startEdge(t, deno, project, variables)
    t.equal((await events(runId, '', {}, other)).raw, told.raw)
    const { runId: unfinished, finish, rest } = await begin(alone, {})
    t.match(await other.request('GET', `/runs/${unfinished}/events`), { status: 503, headers: { get: Function }, body: { code: 'run_elsewhere' } })
    finish('!')
    await rest()
  })
})
