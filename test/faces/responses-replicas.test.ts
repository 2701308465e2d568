import { once } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { delta, ending, type GatewayDouble, inTurn, openStream, say, startGateway } from '../support/doubles/gateway.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { BACKEND_SECRET, createPostgres, DEMO_KEY, endOf, findPostgres, JWT_SECRET, type Service, startService } from '../support/helper.js'
import { launch } from '../support/process.js'
import { until } from '../support/until.js'
import { fetchForTest } from '../packages/fetch.js'
import { ASKED, numbersOf, PACKAGES, startClient, textOf, typesOf } from './responses-client.js'

const HEADERS = { authorization: `Bearer ${DEMO_KEY}`, 'content-type': 'application/json' }
const runIdOf = (id: string) => id.slice('resp_'.length)

/** Says the beginning, and the rest when the test says so. */
function byHand (gateway: GatewayDouble, first: string) {
  let finish = (_rest: string) => {}
  gateway.reply = response => {
    openStream(response).write(delta(first))
    finish = rest => { response.end(delta(rest) + ending()) }
  }
  return (rest: string) => finish(rest)
}

async function begin ({ url }: Service) {
  const response = await fetch(`${url}/v1/responses`, { method: 'POST', headers: HEADERS, body: JSON.stringify({ ...ASKED, background: true }) })
  return (await response.json() as { id: string }).id
}

/** Reads a response's stream, event by event. */
async function open ({ url }: Service, id: string, query = '') {
  const response = await fetch(`${url}/v1/responses/${id}?stream=true${query}`, { headers: HEADERS })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  const events: any[] = []
  let raw = ''
  const next = async (): Promise<boolean> => {
    const { value, done } = await reader.read()
    raw += value ?? ''
    const frames = raw.split('\n\n')
    raw = frames.pop()!
    for (const frame of frames) if (!frame.startsWith(':')) events.push(JSON.parse(/^data: (.*)$/m.exec(frame)![1]!))
    return !done
  }
  return {
    status: response.status,
    events,
    async until (type: string) { while (!events.some(event => event.type === type) && await next()); },
    async rest () {
      while (await next());
      return events
    }
  }
}

t.test('a response on several replicas', async t => {
  if (!await findRedis(t) || !await findPostgres(t)) return
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return

  t.test('has the same numbers at all of them, while it goes on, after its end, and after a restart', async t => {
    const [database, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
    const shared = { SUPABASE_DB_URL: database, REDIS_URL: redis.url }
    const web = await startService(t, { ...shared, MAX_CONCURRENT_RUNS: '0' }, gateway.url)
    const worker = await startService(t, shared, gateway.url)
    const finish = byHand(gateway, 'Hello ')
    const id = await begin(web)
    const [here, there] = [await open(web, id), await open(worker, id)]
    await here.until('response.output_text.delta')
    await there.until('response.output_text.delta')
    const last = here.events.at(-1).sequence_number
    const resumed = await open(web, id, `&starting_after=${last}`)
    finish('world')
    const events = await here.rest()
    t.equal(textOf(events), 'Hello world')
    t.same(await there.rest(), events)
    t.same(await resumed.rest(), events.slice(numbersOf(events).indexOf(last) + 1))
    const other = await startService(t, shared, gateway.url)
    t.same(numbersOf(await (await open(other, id)).rest()), numbersOf(events))
    await redis.client.flushall()
    const restarted = await startService(t, shared, gateway.url)
    t.same(await (await open(restarted, id)).rest(), events, 'from the database alone')
  })

  for (const name of PACKAGES) {
    t.test(`whose process is killed in mid-answer ends right for the package ${name}`, async t => {
      const [database, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
      const shared = { SUPABASE_DB_URL: database, REDIS_URL: redis.url }
      const web = await startService(t, { ...shared, MAX_CONCURRENT_RUNS: '0' }, gateway.url)
      const doomed = launch(t, 'worker.js', [], {
        ...shared, PORT: '0', HOST: '127.0.0.1', AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key', SUPABASE_JWT_SECRET: JWT_SECRET, RAILWAY_BACKEND_SECRET: BACKEND_SECRET
      })
      byHand(gateway, 'Hello wor')
      const use = startClient(t, directory, name, web.url)
      const reading = use('helper')
      const { body: { runs: [{ runId }] } } = await until(() => web.request('GET', '/api/runs'), ({ body }) => body.runs[0]?.response === 'Hello wor', 60)
      const id = `resp_${runId}`
      const early = await open(web, id)
      await early.until('response.output_text.delta')
      const last = early.events.at(-1).sequence_number
      doomed.kill('SIGKILL')
      await once(doomed, 'exit')
      gateway.reply = say('Good', ' day')
      const sql = new pg.Client({ connectionString: database })
      await sql.connect()
      await sql.query("update public.agent_workers set lease_until = now() - interval '1 minute'")
      await sql.query("update public.agent_runs set lease_until = now() - interval '1 minute' where finished_at is null")
      await sql.end()
      await startService(t, shared, gateway.url)
      const { result, error } = await reading
      t.equal(error, undefined)
      t.match(result.response, { status: 'completed', output_text: 'Good day', output: [{ status: 'completed' }] })
      t.match(result.events.find(({ type }: any) => type === 'response.output_item.done'), { item: { status: 'incomplete', content: [{ text: 'Hello wor' }] } }, 'the half is said to be none')
      t.equal(textOf(result.events), 'Good day')
      t.ok(numbersOf(result.events).every((number, index, all) => index === 0 || number > all[index - 1]!), 'numbers rise through it')
      t.match(await endOf(web, runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
      const { result: again } = await use('retrieveHelper', { id })
      t.match(again.response, { output_text: 'Good day' }, 'and is read again from its beginning')
      t.equal(numbersOf(again.events).at(-1), numbersOf(result.events).at(-1))
      t.match((await use('retrieveStream', { id, starting_after: last })).error, { code: 'answer_changed' }, 'who has the half is not given the rest of another answer')
      t.match((await use('retrieve', { id })).result, { status: 'completed', output_text: 'Good day' })
    })
  }
})

t.test('a connection that ends before the response says so, and is taken up again without a letter twice', async t => {
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })
  for (const name of PACKAGES) {
    const use = startClient(t, directory, name, service.url)
    const finish = byHand(service.gateway, 'Hello ')
    const id = await begin(service)
    const first = await (await open(service, id)).rest()
    t.same(typesOf(first).slice(-2), ['response.output_text.delta', 'error'])
    t.match(first.at(-1), { code: 'connection_ended', sequence_number: first.at(-2).sequence_number })
    t.match((await use('retrieveStream', { id })).error, { code: 'connection_ended' }, 'the package throws it')
    t.match((await use('retrieveHelper', { id })).error, { code: 'connection_ended' })
    const rest = open(service, id, `&starting_after=${first.at(-1).sequence_number}`)
    finish('world')
    t.equal(textOf([...first, ...await (await rest).rest()]), 'Hello world')
  }
})

t.test('a run whose events are lost ends with the whole response for who has a part of it', async t => {
  const service = await startService(t)
  service.gateway.reply = inTurn(say('Hello', ' world'))
  const id = await begin(service)
  await endOf(service, runIdOf(id))
  const events = await (await open(service, id)).rest()
  const { runs: [{ runId }] } = (await service.request('GET', '/api/runs')).body
  const lost = service.app.database.call.bind(service.app.database)
  t.teardown(() => { service.app.database.call = lost })
  service.app.database.call = (async (name: any, args: any) => {
    const result: any = await lost(name, args)
    return name === 'get_ended_runs' ? result.map((ended: object) => ({ ...ended, trace: null })) : result
  }) as never
  service.app.events.evict(runId)
  const whole = await (await open(service, id)).rest()
  t.equal(textOf(whole), 'Hello world')
  t.match(whole.at(-1), { type: 'response.completed', response: { output: [{ content: [{ text: 'Hello world' }] }] } })
  const delta = events.findIndex(({ type }) => type === 'response.output_text.done')
  t.match(await (await open(service, id, `&starting_after=${events[delta].sequence_number}`)).rest(), [{ type: 'response.completed' }])
})
