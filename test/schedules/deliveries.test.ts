import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { ClaimedDelivery } from '../../src/database/functions/schedules.js'
import type { OutboundRequest } from '../../src/executor/tools/outbound/outbound.js'
import { Deliveries } from '../../src/schedules/deliveries.js'
import { DEMO_AGENT, OTHER_USER } from '../support/helper.js'

t.test('a result that is sent counts among the requests of its schedule\'s user', async t => {
  const claimed: ClaimedDelivery = {
    id: randomUUID(),
    scheduleId: randomUUID(),
    runId: randomUUID(),
    agentId: DEMO_AGENT,
    agentName: 'An agent',
    userId: OTHER_USER,
    action: 'webhook',
    config: { url: 'https://example.com/' },
    prompt: 'Hello',
    result: 'Hi',
    scheduledFor: '2026-11-29T09:00:00Z',
    completedAt: '2026-11-29T09:00:01Z',
    timezone: 'UTC',
    tries: 1
  }
  const requests: OutboundRequest[] = []
  const recorded: unknown[] = []
  const deliveries = new Deliveries({
    database: {
      async call (name: string, args: unknown) {
        if (name === 'claim_deliveries') return [claimed]
        recorded.push(args)
      }
    } as any,
    outbound: { async request (request) { requests.push(request); return { status: 200, headers: {}, body: '' } as any } },
    log () {}
  })
  await deliveries.look()
  await deliveries.close(1_000)
  t.match(requests, [{ url: 'https://example.com/', owner: { userId: OTHER_USER } }])
  t.match(recorded, [{ p_id: claimed.id, p_status: 'delivered' }])
  t.same(deliveries.ended.counts, [{ labels: { result: 'delivered' }, count: 1 }])
})
