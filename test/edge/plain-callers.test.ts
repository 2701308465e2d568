import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { MARK } from '#shared/reader/plain-text.ts'
import { answerWith, loseAnswer, passTo, startBackendDouble } from '../support/doubles/backend.js'
import { delta, ending, hang, inTurn, openStream, refuse, say } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, readUntil, SIMPLE_AGENT, startBackend, startEdge, startProject } from '../support/edge.js'
import { bearer, DEMO_KEY, parseStream, PLAIN, readStream, typesOf } from '../support/helper.js'
import { startGateway } from '../support/doubles/gateway.js'

/** The text of a reader that appends. */
function appended (events: ReturnType<typeof parseStream>): string {
  return events.map(event => event.type === 'chunk' ? event.content : '').join('')
}

/** Lets an answer of the service through until it has said a text, and then breaks off within a frame. */
function breakAfter (url: string, text: string) {
  return passTo(url, (answer: IncomingMessage, response) => {
    let seen = ''
    answer.on('data', chunk => {
      seen += chunk
      response.write(chunk)
      if (seen.includes(text)) response.write('id: 3\ndata: {"type":"chu', () => response.destroy())
    })
  })
}

t.test('callers of the edge function that know no more than chunk, done and error', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const gateway = await startGateway(t)
  const wire = await startBackendDouble(t, passTo(service.url))
  const variables = { AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'test-gateway-key', RAILWAY_BACKEND_URL: wire.url }
  const edge = await startEdge(t, deno, project, variables)
  const short = await startEdge(t, deno, project, { ...variables, EDGE_MAX_SECONDS: '2', FIRST_OUTPUT_SECONDS: '0.2' })
  const key = { 'x-api-key': DEMO_KEY, ...PLAIN }
  t.beforeEach(() => {
    wire.handler = passTo(service.url)
    wire.visits = []
    gateway.calls.length = service.gateway.calls.length = 0
  })
  /** A gateway that says a text and, when it is told to, the rest. */
  const saying = (text: string) => {
    const say = { finish: (_rest: string) => {} }
    service.gateway.reply = response => {
      openStream(response).write(delta(text))
      say.finish = rest => response.end(delta(rest) + ending())
    }
    return say
  }

  t.test('have a whole answer where the connection to the backend breaks: the function resumes behind them', async t => {
    const said = saying('Hel')
    wire.handler = (response, visit, number) => {
      if (number === 1) return breakAfter(service.url, 'Hel')(response, visit, number)
      said.finish('lo')
      return passTo(service.url)(response, visit, number)
    }
    const told = await edge.execute(HEAVY, key)
    t.equal(appended(told.events), 'Hello')
    t.strictSame([...new Set(typesOf(told))], ['started', 'chunk', 'done'])
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
    t.equal(wire.visits[0]!.headers['x-stream-events'], '*')
    t.match(wire.visits[1], { method: 'GET', path: /\/events\?after=2$/, headers: { 'x-api-key': DEMO_KEY, 'x-stream-events': '*' } })
    t.notOk('x-railway-secret' in wire.visits[1]!.headers)
  })

  t.test('and where its answer is lost from the beginning, or it cannot be reached any more', async t => {
    service.gateway.reply = say('Hello')
    wire.handler = (response, visit, number) => (number <= 2 ? loseAnswer(service.url) : passTo(service.url))(response, visit, number)
    t.equal(appended((await edge.execute(HEAVY, key)).events), 'Hello')
    const said = saying('Hel')
    wire.visits = []
    wire.handler = (response, visit, number) => {
      if (number === 1) return breakAfter(service.url, 'Hel')(response, visit, number)
      said.finish('lo')
      return answerWith(502, {})(response, visit, number)
    }
    const told = await edge.execute(HEAVY, key)
    t.equal(appended(told.events), 'Hello', 'from the database')
    t.match(told.events.at(-1), { type: 'done', response: 'Hello' })
  })

  t.test('are told no letter twice where the service rewinds, and have a mark where the text goes another way', async t => {
    for (const [again, expected] of [['Hello', 'Hello'], ['Goodbye', `Hel${MARK}Goodbye`]] as const) {
      service.gateway.calls.length = 0
      service.gateway.reply = inTurn((response, call, number) => {
        hang('Hel')(response, call, number)
        setTimeout(() => response.destroy(), 50)
      }, say(again))
      const told = await edge.execute(HEAVY, key)
      t.equal(appended(told.events), expected)
      const all = await edge.request('GET', `/runs/${told.headers.get('x-run-id')}`)
      t.match(all.body, { response: again })
      const events = await fetch(`${edge.url}/runs/${told.headers.get('x-run-id')}/events`, { headers: await bearer() })
      t.ok(typesOf(await readStream(events)).includes('rewind'), 'who reads events is told all')
      const { seq } = told.events.find(({ type }) => type === 'chunk')!
      const rest = await fetch(`${edge.url}/runs/${told.headers.get('x-run-id')}/events?after=${seq}&events=`, { headers: await bearer() })
      t.equal(`Hel${appended((await readStream(rest)).events)}`, expected, 'or only what it knows')
    }
  })

  t.test('are told on after another service has taken the run over', async t => {
    const dying = await startBackend(t, project)
    dying.gateway.reply = hang('Hel')
    wire.handler = (response, visit, number) => passTo(number === 1 ? dying.url : service.url)(response, visit, number)
    service.gateway.reply = say('Hello')
    const response = await edge.open(HEAVY, key)
    const { rest } = await readUntil(response, 'Hel')
    await dying.app.close()
    const events = parseStream(await rest())
    t.equal(appended(events), 'Hello')
    t.match(events.at(-1), { type: 'done', response: 'Hello' })
  })

  t.test('are told in a sentence when the function may live no longer', async t => {
    const said = saying('half')
    const told = await short.execute(HEAVY, key)
    t.equal(appended(told.events), 'half')
    t.match(told.events.at(-1), { type: 'error', code: 'connection_ended', error: String, runId: told.headers.get('x-run-id'), retryable: true })
    t.notOk(told.raw.includes('[DONE]'))
    said.finish(' whole')
    t.match(await project.endOf(told.headers.get('x-run-id')!), { status: 'succeeded', creditsCharged: 1 })
    gateway.reply = hang('half')
    const local = await short.execute({}, key)
    t.match(local.events.at(-1), { type: 'error', code: 'connection_ended' }, 'also of a run in the function')
    service.gateway.reply = say('whole')
    await project.endOf(local.headers.get('x-run-id')!)
  })

  t.test('are answered with a status where a run fails before its first word, wherever it runs', async t => {
    const before = await project.balance()
    service.gateway.reply = gateway.reply = refuse(402)
    for (const body of [HEAVY, { agentId: SIMPLE_AGENT }]) {
      const headers = { ...key, 'idempotency-key': `refused ${body.agentId}` }
      for (const time of ['at once', 'and again']) {
        const told = await edge.execute(body, headers)
        t.equal(told.status, 503, time)
        t.match(JSON.parse(told.raw), { code: 'gateway_payment_required', error: String, runId: String })
      }
      const all = await edge.execute(body)
      t.equal(all.status, 200)
      t.match(all.events.at(-1), { type: 'error', code: 'gateway_payment_required' })
    }
    t.same(await project.balance(), before)
    service.gateway.reply = hang()
    const slow = await short.execute(HEAVY, key)
    t.equal(slow.status, 200, 'but no longer than the head may wait')
    t.strictSame(typesOf(slow), ['started', 'error'])
    await service.request('POST', `/api/runs/${slow.headers.get('x-run-id')}/cancel`)
  })

  t.test('are told by an error that a run was cancelled', async t => {
    gateway.reply = hang('half')
    const response = await edge.open({}, key)
    const { rest } = await readUntil(response, 'half')
    await edge.request('POST', `/runs/${response.headers.get('x-run-id')}/cancel`)
    t.match(parseStream(await rest()).at(-1), { type: 'error', code: 'run_cancelled' })
  })

  t.test('are refused names that are none', async t => {
    t.match(JSON.parse((await edge.execute({}, { ...key, 'x-stream-events': 'nonsense' })).raw), { statusCode: 400, error: /"nonsense" is no kind of event/ })
  })
})
