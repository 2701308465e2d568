import type { Origin } from '../result.js'
import type { Figure } from '../stats.js'
import { paceOf, perMillion, type Outcome, type Shape } from '../trial.js'
import type { Fleet } from './fleet.js'

/**
 * The loads, and who bears each. `full` is for the fleets of several processes: `saturated` leaves half of the server's core
 * idle where the bench's own programs and PostgreSQL have but one core, and processes that are not busy read a token at a time.
 */
export const LOADS = {
  saturated: ['alone', 'redis'],
  burst8: ['alone', 'redis'],
  full: ['alone', 'remote', 'two', 'four'],
  paced500: ['alone', 'redis', 'remote'],
  runs: ['alone', 'redis', 'remote']
} as const satisfies Record<string, readonly Fleet[]>
export type LoadName = keyof typeof LOADS

/** What one load was, and what came of it by each fleet, in one round. */
export interface Trial { shape: Shape, outcomes: Record<Fleet, Outcome> }
/** One round. */
export type Look = Record<LoadName, Trial> & {
  /** Processor time of four processes that have nothing to do, a process and second. */
  idle: { processMs: number, redisMs: number, databaseMs: number }
}

interface Metric {
  title: string
  /** What is aimed at. */
  atLeast?: number
  atMost?: number
  of (look: Look): number
}

const over = (load: LoadName, fleet: Fleet, of: (outcome: Outcome) => number) => (look: Look) => of(look[load].outcomes[fleet]) / of(look[load].outcomes.alone)
const rate = ({ tokens, ms }: Outcome) => tokens / ms
const cost = ({ serverMs, tokens }: Outcome) => perMillion(serverMs, tokens)
const pace = (fleet: Fleet) => ({ paced500: { outcomes, shape } }: Look) => paceOf(outcomes[fleet], shape)
const firstMs = (fleet: Fleet) => ({ paced500: { outcomes } }: Look) => (outcomes[fleet].first.p50Us - outcomes.alone.first.p50Us) / 1000
const redisCost = (fleet: Fleet, load: LoadName) => (look: Look) => perMillion(look[load].outcomes[fleet].stores!.redisMs, look[load].outcomes[fleet].tokens)

/** The figures, each of one round: what is over another is over one process without Redis. */
export const SCALED = {
  redis_rate_saturated: { title: 'One process with Redis: answers a second, over one without, saturated', atLeast: 0.95, of: over('saturated', 'redis', rate) },
  redis_rate_burst8: { title: 'the same, eight frames a write', atLeast: 0.95, of: over('burst8', 'redis', rate) },
  redis_rate_paced: { title: 'the same, 500 streams at 20 ms a token', atLeast: 0.95, of: over('paced500', 'redis', rate) },
  redis_cpu_saturated: { title: 'its processor time a token, over one without, saturated', atMost: 1.1, of: over('saturated', 'redis', cost) },
  redis_cpu_burst8: { title: 'the same, eight frames a write', atMost: 1.1, of: over('burst8', 'redis', cost) },
  redis_cpu_paced: { title: 'the same, 500 streams at 20 ms a token', atMost: 1.1, of: over('paced500', 'redis', cost) },
  redis_first_token_ms: { title: 'how much later its first token comes, median, ms', atMost: 3, of: firstMs('redis') },
  remote_cpu_full: { title: 'All readers on another process: processor time a token of both, over one without Redis, a full core', atMost: 2.2, of: over('full', 'remote', cost) },
  remote_cpu_paced: { title: 'the same, 500 streams at 20 ms a token', of: over('paced500', 'remote', cost) },
  remote_pace: { title: 'the part of 500 streams\' tokens that came in time', atLeast: 0.98, of: pace('remote') },
  remote_first_token_ms: { title: 'how much later the first token comes, median, ms', of: firstMs('remote') },
  remote_redis_full: { title: 'processor s of Redis per million tokens, a full core', atMost: 2, of: redisCost('remote', 'full') },
  remote_redis_paced: { title: 'the same, 500 streams at 20 ms a token', atMost: 2, of: redisCost('remote', 'paced500') },
  two_cpu: { title: 'Two processes on one core: processor time a token, over one without Redis, a full core', atMost: 1.15, of: over('full', 'two', cost) },
  four_cpu: { title: 'Four processes on one core: the same', atMost: 1.25, of: over('full', 'four', cost) }
} as const satisfies Record<string, Metric>
export type ScaledName = keyof typeof SCALED
export const SCALED_NAMES = Object.keys(SCALED) as ScaledName[]

/**
 * What each part of the work costs, in milliseconds of a processor: what the simulation of many replicas computes with. The
 * runs of the paced load begin singly, as those of users do; a run's share is taken off its tokens' cost.
 */
export const COSTS = {
  run_process_ms: { title: 'a run beside its reader, at its process', of: look => runMs(look, 'redis') },
  run_redis_ms: { title: 'the same, at Redis', of: ({ runs }) => perRun(runs, 'redis', 'redisMs') },
  run_database_ms: { title: 'the same, at PostgreSQL', of: ({ paced500 }) => perRun(paced500, 'redis', 'databaseMs') },
  remote_run_process_ms: { title: 'a run read elsewhere, at both processes', of: look => runMs(look, 'remote') },
  remote_run_redis_ms: { title: 'the same, at Redis', of: ({ runs }) => perRun(runs, 'remote', 'redisMs') },
  remote_run_database_ms: { title: 'the same, at PostgreSQL', of: ({ paced500 }) => perRun(paced500, 'remote', 'databaseMs') },
  token_process_ms: { title: 'a token beside its reader, at its process', of: look => tokenMs(look, 'redis', ({ serverMs }) => serverMs, runMs(look, 'redis')) },
  token_redis_ms: { title: 'the same, at Redis', of: look => tokenMs(look, 'redis', ({ stores }) => stores!.redisMs, perRun(look.runs, 'redis', 'redisMs')) },
  remote_token_process_ms: { title: 'a token read elsewhere, at both processes', of: look => tokenMs(look, 'remote', ({ serverMs }) => serverMs, runMs(look, 'remote')) },
  remote_token_redis_ms: { title: 'the same, at Redis', of: look => tokenMs(look, 'remote', ({ stores }) => stores!.redisMs, perRun(look.runs, 'remote', 'redisMs')) },
  idle_process_ms: { title: 'a process and second without work, at itself', of: ({ idle }) => idle.processMs },
  idle_redis_ms: { title: 'the same, at Redis', of: ({ idle }) => idle.redisMs },
  idle_database_ms: { title: 'the same, at PostgreSQL', of: ({ idle }) => idle.databaseMs }
} as const satisfies Record<string, { title: string, of (look: Look): number }>
export type CostName = keyof typeof COSTS
export const COST_NAMES = Object.keys(COSTS) as CostName[]

/** Several processes, as it is written to the report. */
export interface Scaled extends Origin {
  figures: Record<ScaledName, Figure>
  costs: Record<CostName, Figure>
  remarks: string[]
}

function runMs ({ runs: { outcomes } }: Look, fleet: Fleet): number {
  return outcomes[fleet].serverMs / outcomes[fleet].streams
}

function perRun ({ outcomes, shape }: Trial, fleet: Fleet, store: 'redisMs' | 'databaseMs'): number {
  return outcomes[fleet].stores![store] / (outcomes[fleet].tokens / shape.tokens)
}

/** The cost of a token without its run's share; never less than nothing, which noise may make of it. */
function tokenMs ({ paced500: { outcomes, shape } }: Look, fleet: Fleet, of: (outcome: Outcome) => number, ofRun: number): number {
  return Math.max(0, of(outcomes[fleet]) / outcomes[fleet].tokens - ofRun / shape.tokens)
}
