import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { delta, ending, openStream } from '../support/doubles/gateway.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { createPostgres, DEMO_AGENT, findPostgres, openEvents, parseStream, type Service, startService, textOf } from '../support/helper.js'

const WAITING = 'jeesi:runs:prioritized'

t.test('a run whose position was emitted before Redis lost the queue is delivered completely', async t => {
  if (!await findPostgres(t) || !await findRedis(t)) return
  const redis = await startRedis(t)
  const service = await startService(t, { SUPABASE_DB_URL: await createPostgres(t), REDIS_URL: redis.url, MAX_CONCURRENT_RUNS: '1' })
  let finish = () => {}
  service.gateway.reply = (response, _call, number) => {
    openStream(response).write(delta(number === 1 ? 'first' : 'a'))
    if (number === 1) finish = () => response.end(ending())
    else response.end(delta('b') + delta('c') + ending())
  }
  const arriving = service.gateway.nextCall()
  await begin(service)
  await arriving
  const waiting = await openEvents(service.url, await begin(service))
  const reader = waiting.body!.getReader()
  let raw = ''
  const read = async () => {
    const { value, done } = await reader.read()
    if (value) raw += Buffer.from(value)
    return !done
  }
  while (!raw.includes('"queued"')) await read()
  await redis.client.flushall()
  while (await redis.client.zcard(WAITING) === 0) await delay(20)
  finish()
  while (await read());
  const events = parseStream(raw)
  t.equal(textOf(events), 'abc')
  t.match(events.find(({ type }) => type === 'started'), { attempt: 2 })
})

async function begin ({ request }: Service): Promise<string> {
  const { body } = await request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })
  return body.runId
}
