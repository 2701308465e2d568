import type { FastifyRequest } from 'fastify'
import t from 'tap'
import { buildWorker } from '../../src/app.js'
import { isPrivatelySent } from '../../src/http/client-address.js'
import { METRICS } from '../../src/metrics/metrics.js'
import { createLogger } from '../../src/process/logger.js'
import { delta, hang, inTurn, openStream, refuse, say } from '../support/doubles/gateway.js'
import { createDataDir, DEMO_AGENT, endOf, openEvents, type Service, startService } from '../support/helper.js'
import { parseText, valueOf } from './text.js'

const TOKEN = 'a-token-for-those-who-read-metrics-9f3b'

async function scrape ({ url }: Pick<Service, 'url'>, headers: Record<string, string> = {}): Promise<{ status: number, text: string, type: string | null }> {
  const response = await fetch(`${url}/metrics`, { headers })
  return { status: response.status, text: await response.text(), type: response.headers.get('content-type') }
}

t.test('GET /metrics', async t => {
  const service = await startService(t, { METRICS_TOKEN: TOKEN, RAILWAY_GIT_COMMIT_SHA: '0123456789ABCDEF0123456789abcdef01234567' })

  t.test('says what a run has come to: once, whoever reads', async t => {
    await service.execute()
    const { status, text, type } = await scrape(service)
    t.equal(status, 200)
    t.equal(type, 'text/plain; version=0.0.4; charset=utf-8')
    const expected: Array<[string, Record<string, string>, number]> = [
      ['jeesi_runs_total', { state: 'succeeded', kind: 'execute' }, 1],
      ['jeesi_runs_total', {}, 1],
      ['jeesi_run_seconds_count', {}, 1],
      ['jeesi_first_token_seconds_count', {}, 1],
      ['jeesi_queue_wait_seconds_bucket', { le: '+Inf' }, 1],
      ['jeesi_tokens_total', { type: 'prompt' }, 10],
      ['jeesi_tokens_total', { type: 'completion' }, 5],
      ['jeesi_credits_total', {}, 1],
      ['jeesi_model_steps_total', {}, 1],
      ['jeesi_slots', {}, 500],
      ['jeesi_slots_used', {}, 0],
      ['jeesi_readers', { protocol: 'sse' }, 0],
      ['jeesi_http_requests_total', { method: 'POST', route: '/api/agent/execute', status: '200' }, 1],
      ['jeesi_database_up', {}, 1],
      ['jeesi_processes', {}, 1],
      ['jeesi_build_info', { version: '0.2.0', commit: '0123456789abcdef0123456789abcdef01234567' }, 1]
    ]
    for (const [name, labels, value] of expected) t.equal(valueOf(text, name, labels), value, `${name} ${JSON.stringify(labels)}`)
    t.ok(valueOf(text, 'jeesi_event_loop_delay_seconds_count')! > 0)
    t.equal(valueOf(text, 'jeesi_redis_up'), undefined, 'what there is not is not down')
    t.equal((await scrape(service)).text.match(/^jeesi_credits_total .*/m)?.[0], 'jeesi_credits_total 1', 'a scrape counts nothing')
  })

  t.test('counts slots and readers of a run under way, and that it is cancelled', async t => {
    service.gateway.reply = hang('half')
    const arriving = service.gateway.nextCall()
    const { body: { runId } } = await service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true } })
    await arriving
    const reader = await openEvents(service.url, runId)
    const { text } = await scrape(service)
    t.equal(valueOf(text, 'jeesi_readers', { protocol: 'sse' }), 1)
    t.equal(valueOf(text, 'jeesi_resumes_total'), 1)
    t.equal(valueOf(text, 'jeesi_slots_used'), 1)
    t.equal(valueOf(text, 'jeesi_runs_under_way'), 1)
    await service.request('POST', `/api/runs/${runId}/cancel`)
    await reader.text()
    t.equal(valueOf((await scrape(service)).text, 'jeesi_runs_total', { state: 'cancelled', kind: 'execute' }), 1)
  })

  t.test('counts why the gateway has failed, what was tried again and what was rewound', async t => {
    service.gateway.calls.length = 0
    service.gateway.reply = inTurn(response => {
      openStream(response).write(delta('half'), () => response.destroy())
    }, refuse(429, 'slowly'), say('whole'))
    const { events } = await service.execute()
    t.equal(events.at(-1)?.type, 'done')
    const { text } = await scrape(service)
    t.equal(valueOf(text, 'jeesi_gateway_failures_total', { code: 'gateway_unavailable' }), 1)
    t.equal(valueOf(text, 'jeesi_gateway_failures_total', { code: 'gateway_rate_limited' }), 1)
    t.equal(valueOf(text, 'jeesi_retries_total', { kind: 'same_model' }), 2)
    t.equal(valueOf(text, 'jeesi_rewinds_total'), 1)
  })

  t.test('has nothing of users in its labels, whatever they send', async t => {
    const secret = 'a"text{of}=a\\user'
    await service.request('GET', `/${encodeURIComponent(secret)}`)
    await service.request('GET', `/api/runs/${encodeURIComponent(secret)}`)
    await service.request('POST', '/v1/chat/completions', { body: { model: secret, messages: [{ role: 'user', content: secret }] } })
    await service.app.database.call('begin_run', {} as never).catch(() => {})
    const { text } = await scrape(service)
    t.notMatch(text, /a.{0,2}text/)
    for (const { name, labels } of parseText(text)) {
      const metric = METRICS.find(metric => name.replace(/_(bucket|sum|count)$/, '') === metric.name || name === metric.name)
      t.ok(metric, name)
      for (const [label, value] of Object.entries(labels)) {
        if (label === 'le' && metric?.type === 'histogram') continue
        t.ok(label in metric!.labels, `${name} ${label}`)
        t.ok(metric!.labels[label]?.includes(value) ?? true, `${name} ${label}=${value}`)
      }
    }
    t.equal(valueOf(text, 'jeesi_http_requests_total', { method: 'none', route: 'none', status: '404' }), 1)
  })

  t.test('is for this machine and the private network, and for others with the token', async t => {
    for (const header of ['x-real-ip', 'x-forwarded-for', 'forwarded']) {
      t.match(await scrape(service, { [header]: '203.0.113.7' }), { status: 401, text: /unauthorized/ }, header)
      t.match(await scrape(service, { [header]: '203.0.113.7', authorization: 'Bearer wrong' }), { status: 401 })
      t.match(await scrape(service, { [header]: '203.0.113.7', authorization: `Bearer ${TOKEN}` }), { status: 200, text: /jeesi_runs_total/ })
    }
  })

  t.test('and /health say the commit that runs', async t => {
    t.match(await service.request('GET', '/health', { headers: {} }), { status: 200, body: { commit: '0123456789abcdef0123456789abcdef01234567' } })
  })
})

t.test('without METRICS_TOKEN there are no metrics for others, and no commit that nobody has said', async t => {
  const service = await startService(t)
  t.match(await scrape(service, { 'x-real-ip': '203.0.113.7', authorization: 'Bearer undefined' }), { status: 404, text: /not_found/ })
  t.match(await scrape(service), { status: 200 })
  t.notMatch((await service.request('GET', '/health', { headers: {} })).body, { commit: String })
})

t.test('Railway\'s proxies are no private network', async t => {
  const isPrivate = (remoteAddress: string, headers = {}) => isPrivatelySent({ socket: { remoteAddress }, headers } as unknown as FastifyRequest)
  for (const address of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1', 'fd00::1', 'fd12:3456:789a::1%eth0', 'fdff:ffff::1']) {
    t.equal(isPrivate(address), true, address)
    t.equal(isPrivate(address, { 'x-real-ip': '203.0.113.7' }), false, `${address}, for somebody else`)
  }
  for (const address of ['100.64.0.2', '::ffff:100.64.0.2', '10.0.0.1', '192.168.1.1', '203.0.113.7', 'fc00::1', 'fe80::1%eth0', '2001:db8::1', '']) {
    t.equal(isPrivate(address), false, address)
  }
})

t.test('a worker has the same metrics', async t => {
  const { config } = await startService(t)
  const worker = await buildWorker({ ...config, database: { kind: 'embedded', dataDir: await createDataDir(t), hasDemo: false } as never }, createLogger('silent'))
  t.teardown(() => worker.close())
  const { statusCode, body } = await worker.inject('/metrics')
  t.equal(statusCode, 200)
  t.equal(valueOf(body, 'jeesi_slots'), 500)
  t.strictSame(new Set(body.match(/(?<=^# TYPE )\w+/gm)), new Set(METRICS.map(({ name }) => name)))
})

t.test('each face counts its runs by its own name', async t => {
  const service = await startService(t)
  const messages = [{ role: 'user', content: 'Hi' }]
  const { body: { runId } } = await service.request('POST', '/v1/chat/completions', { body: { model: DEMO_AGENT, messages } }).then(() => service.request('POST', '/v1/responses', { body: { model: DEMO_AGENT, input: 'Hi' } })).then(() => service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages, background: true } }))
  await endOf(service, runId)
  const { text } = await scrape(service)
  for (const kind of ['chat_completions', 'responses', 'execute']) t.equal(valueOf(text, 'jeesi_runs_total', { state: 'succeeded', kind }), 1, kind)
})
