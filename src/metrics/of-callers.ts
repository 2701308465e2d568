import { counter, counters, gauge, gauges, type Metric } from './metric.js'

const DELIVERY = ['delivered', 'failed'] as const

/** Who reads, and what goes out. */
export const OF_CALLERS: readonly Metric[] = [
  // Routes are the patterns of the code, and what has none is one.
  counters('jeesi_http_requests_total', 'Requests that were answered, probes and scrapes included.', { method: undefined, route: undefined, status: undefined },
    ({ requests }) => requests),
  gauges('jeesi_readers', 'Event streams and WebSockets that are open.', 'protocol', ['sse', 'websocket'],
    ({ streams, sessions }) => ({ sse: streams.size, websocket: sessions.size })),
  counter('jeesi_resumes_total', 'Readers of runs that had begun before: after a cut, a reload, or elsewhere.', ({ runs }) => runs.resumes),
  counters('jeesi_webhooks_total', 'Webhooks that have arrived, or will not.', { result: DELIVERY }, ({ webhooks }) => webhooks.ended),
  gauge('jeesi_webhooks_outstanding', 'Webhooks that are under way, or wait for their next try.', 'sum', ({ webhooks }) => webhooks.outstanding),
  counters('jeesi_schedules_total', 'Firings of schedules, by what came of them.', { result: ['fired', 'waits', 'failed', 'fault'] }, ({ schedules }) => schedules?.firings),
  counters('jeesi_schedule_deliveries_total', 'Results of schedules that have arrived, or will not.', { result: DELIVERY }, ({ schedules }) => schedules?.deliveries)
]
