import { Readable } from 'node:stream'
import t from 'tap'
import { hang, say } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_USER, startService } from '../support/helper.js'
import { execution, login } from '../support/socket-client.js'

const LARGE = 'x'.repeat(200_000)
const ofUser = (content: string) => [{ role: 'user', content }]

t.test('memory', async t => {
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1' })
  const { app, gateway } = service
  const called: string[] = []
  const { database } = app
  const call = database.call.bind(database)
  database.call = (fn, ...args) => {
    if (/run/.test(fn) && !/claim|owned|list|erase/.test(fn)) called.push(fn)
    return call(fn, ...args)
  }
  t.beforeEach(() => {
    called.length = 0
    gateway.reply = say('Hello')
  })
  /** What a run or a body held is returned, if not in the same turn in which the caller has the answer. */
  t.afterEach(async () => {
    while (app.memory.arriving.used > 0 || app.memory.runs.used > 0 || app.executor.size > 0) await new Promise(resolve => setImmediate(resolve))
  })
  const sent = (place = -1) => JSON.stringify(gateway.calls.at(place)?.body.messages)

  t.test('a run that begins at once costs two calls of the database, be it small or large', async t => {
    await service.execute()
    await service.execute({ messages: ofUser(LARGE) })
    t.same(called, ['begin_run', 'finish_run', 'begin_run', 'finish_run'])
    t.match(sent(), LARGE)
  })

  t.test('the large input of a run that waits is read when it has its slot, and a small one is kept', async t => {
    gateway.reply = hang('Hel')
    const { body: first } = await service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: ofUser('Hi'), background: true } })
    const large = service.execute({ messages: ofUser(LARGE) })
    while (app.slots.waiting < 1) await new Promise(resolve => setImmediate(resolve))
    const small = service.execute()
    while (app.slots.waiting < 2) await new Promise(resolve => setImmediate(resolve))
    t.equal(app.memory.runs.used, 0)
    gateway.reply = say('Hello')
    await service.request('POST', `/api/runs/${first.runId}/cancel`)
    t.match(await large, { text: 'Hello' })
    t.match(await small, { text: 'Hello' })
    t.match(sent(-2), LARGE)
    t.equal(called.filter(fn => fn === 'get_run_input').length, 1)
  })

  t.test('a large agent is read when its run has its slot', async t => {
    const told = await service.request('POST', '/api/agent/execute-validated', {
      headers: { 'x-railway-secret': BACKEND_SECRET },
      body: { userId: DEMO_USER, agentId: DEMO_AGENT, agentConfig: { name: 'A', knowledge_base: [LARGE] }, messages: ofUser('Hi'), stream: false }
    })
    t.match(told, { status: 200, body: { response: 'Hello' } })
    t.same(called, ['begin_run', 'get_run_input', 'finish_run'])
    t.match(sent(), LARGE)
  })

  t.test('a body is dropped when its run has begun, however long the answer lasts', async t => {
    gateway.reply = hang('Hel')
    const arriving = gateway.nextCall()
    const told = service.execute({ messages: ofUser(LARGE) })
    await arriving
    t.equal(app.memory.arriving.used, 0)
    t.ok(app.memory.runs.used >= LARGE.length)
    const { body } = await service.request('GET', '/api/runs')
    await service.request('POST', `/api/runs/${body.runs[0].runId}/cancel`)
    await told
  })

  t.test('bodies of unknown length count too', async t => {
    const json = JSON.stringify({ agentId: DEMO_AGENT, messages: ofUser(LARGE), stream: false })
    const pieces = Readable.toWeb(Readable.from([json.slice(0, 1000), json.slice(1000, 100_000), json.slice(100_000)].map(text => Buffer.from(text))))
    const response = await fetch(`${service.url}/api/agent/execute`, {
      method: 'POST', headers: { 'content-type': 'application/json', ...await bearer() }, body: pieces as never, duplex: 'half'
    } as RequestInit)
    t.match(await response.json(), { response: 'Hello' })
    t.match(sent(), LARGE)
  })

  t.test('a large body and a large message wait for memory, and small ones go on', async t => {
    const client = await login(t, service)
    const all = app.memory.arriving.tryTake('another', app.memory.arriving.capacity)!
    const large = service.execute({ messages: ofUser(LARGE) })
    while (app.memory.arriving.waiting < 1) await new Promise(resolve => setImmediate(resolve))
    client.send(execution({ messages: ofUser(LARGE) }))
    while (app.memory.arriving.waiting < 2) await new Promise(resolve => setImmediate(resolve))
    t.match(await service.execute(), { text: 'Hello' })
    const crowd = await Promise.all([1, 2, 3].map(() => login(t, service)))
    for (const other of crowd) other.send(execution({ messages: ofUser(LARGE) }))
    t.match(await Promise.any(crowd.map(other => other.next('error'))), { code: 'server_busy', retryAfter: 5 }, 'of a user\'s messages two wait')
    all.release()
    t.match(await large, { text: 'Hello' })
    t.match(await client.next('agent_execution_complete'), { response: 'Hello' })
  })
})
