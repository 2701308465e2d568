import { RUN_KINDS } from '#shared/database/run-kind.ts'
import { errors } from '#shared/errors.ts'
import { counter, counters, gauge, histogram, type Metric } from './metric.js'

const STATES = ['succeeded', 'failed', 'cancelled'] as const
const GATEWAY_CODES = Object.values(errors).map(error => (error as { code?: string }).code ?? '').filter(code => code.startsWith('gateway_'))

/** What runs come to, and what they wait for. */
export const OF_RUNS: readonly Metric[] = [
  counters('jeesi_runs_total', 'Runs that have ended here, by how and by the face through which they began.', { state: STATES, kind: [...RUN_KINDS, 'other'] },
    ({ executor }) => executor.figures.ended),
  gauge('jeesi_runs_under_way', 'Runs that are made here, or wait here for a slot.', 'sum', ({ executor }) => executor.size),
  histogram('jeesi_run_seconds', 'From the beginning of a run, waits included, to its end.', ({ executor }) => executor.figures.seconds),
  histogram('jeesi_first_token_seconds', 'From the beginning of a run to what its model or code says first.', ({ executor }) => executor.figures.firstToken),
  counters('jeesi_tokens_total', 'Tokens of the runs that have ended here.', { type: ['prompt', 'completion'] }, ({ executor }) => executor.figures.tokens),
  counter('jeesi_credits_total', 'Credits charged for the runs that have ended here.', ({ executor }) => executor.figures.credits),
  counter('jeesi_model_steps_total', 'Turns of models.', ({ executor }) => executor.figures.modelSteps),
  counters('jeesi_tool_calls_total', 'Calls of tools by models.', { result: ['succeeded', 'failed'] }, ({ executor }) => executor.figures.tools),
  counters('jeesi_retries_total', 'Tries that failed and were made again.', { kind: ['same_model', 'fallback_model', 'python'] }, ({ executor }) => executor.figures.retries),
  counter('jeesi_rewinds_total', 'Tries whose text readers were told to forget.', ({ executor }) => executor.figures.rewinds),
  counter('jeesi_takeovers_total', 'Attempts after the first: the process before has ended, or let go of the run.', ({ executor }) => executor.figures.takeovers),
  counters('jeesi_gateway_failures_total', 'Failures of the AI gateway, by code.', { code: GATEWAY_CODES }, ({ executor }) => executor.figures.gatewayFailures),
  gauge('jeesi_gateway_up', 'Whether the gateway answered the last time, and accepts the key.', 'min', ({ gateway }) => Number(gateway.last === 'up')),
  gauge('jeesi_slots', 'Runs that may be made at a time.', 'sum', ({ maxConcurrentRuns }) => maxConcurrentRuns),
  gauge('jeesi_slots_used', 'Runs that are made.', 'sum', ({ slots }) => slots.running),
  gauge('jeesi_queue_length', 'Runs that wait for a slot of their process.', 'sum', ({ slots }) => slots.waiting),
  // All processes see the same queue.
  gauge('jeesi_shared_queue_length', 'Runs that wait in Redis, over all replicas.', 'max', ({ sharedQueue }) => sharedQueue?.length()),
  histogram('jeesi_queue_wait_seconds', 'From the beginning of a run to its slot.', ({ executor }) => executor.figures.queueWait)
]
