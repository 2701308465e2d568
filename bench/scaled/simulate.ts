import { COST_NAMES, type CostName, type Scaled } from './metrics.js'

/** A service that is simulated. */
export interface Service {
  /** Processes with a core each. */
  replicas: number
  /** Tokens of an answer. */
  tokens: number
  /** The part of the answers that are read beside another process than their run's; 0 to 1. */
  remote: number
}

/** A processor that is busier than this makes its callers wait: the most that each part is loaded with. */
export const FULL = 0.7

/** What a service does when its fullest part is as full as it may be. */
export interface Simulated {
  answersPerSecond: number
  tokensPerSecond: number
  /** Busy processors: of all replicas, of Redis, which has one, and of PostgreSQL. */
  processes: number
  redis: number
  database: number
  /** What is full first. */
  fullest: 'processes' | 'redis'
}

type Costs = Record<CostName, number>

/** The medians of what was measured. */
export function costsOf ({ costs }: Pick<Scaled, 'costs'>): Costs {
  return Object.fromEntries(COST_NAMES.map(name => [name, costs[name].median])) as Costs
}

/**
 * Computes what replicas carry from what each part of the work costs: every answer costs its run and its tokens, each second
 * what its processes cost without work. PostgreSQL may have as many cores as it needs; how many those are is the result.
 */
export function simulate (costs: Costs, service: Service): Simulated {
  const { replicas, tokens } = service
  const answer = costOfAnswer(costs, service)
  const perSecond = (budget: number, each: number) => each > 0 ? Math.max(0, budget) / each : Infinity
  const ofProcesses = perSecond(replicas * (1000 * FULL - costs.idle_process_ms), answer.processes)
  const ofRedis = perSecond(1000 * FULL - replicas * costs.idle_redis_ms, answer.redis)
  const answersPerSecond = Math.min(ofProcesses, ofRedis)
  const busy = (each: number, idle: number) => (answersPerSecond * each + replicas * idle) / 1000
  return {
    answersPerSecond,
    tokensPerSecond: answersPerSecond * tokens,
    processes: busy(answer.processes, costs.idle_process_ms),
    redis: busy(answer.redis, costs.idle_redis_ms),
    database: busy(answer.database, costs.idle_database_ms),
    fullest: ofRedis < ofProcesses ? 'redis' : 'processes'
  }
}

/** The number of replicas from which more of them carry nothing more, since Redis is full. @returns Infinity if there is none. */
export function replicasThatFillRedis (costs: Costs, { tokens, remote }: Omit<Service, 'replicas'>): number {
  const { processes, redis } = costOfAnswer(costs, { tokens, remote })
  // As many answers as n replicas carry cost Redis as much as it may be loaded with.
  const each = Math.max(0, 1000 * FULL - costs.idle_process_ms) / processes * redis + costs.idle_redis_ms
  return each > 0 ? 1000 * FULL / each : Infinity
}

/** The number of replicas from which PostgreSQL with so many cores is full. @returns Infinity if there is none. */
export function replicasThatFillDatabase (costs: Costs, { tokens, remote }: Omit<Service, 'replicas'>, cores: number): number {
  const { processes, database } = costOfAnswer(costs, { tokens, remote })
  const each = Math.max(0, 1000 * FULL - costs.idle_process_ms) / processes * database + costs.idle_database_ms
  return each > 0 ? 1000 * FULL * cores / each : Infinity
}

/** What an answer costs each part at the mean, in milliseconds of a processor. */
function costOfAnswer (costs: Costs, { tokens, remote }: Omit<Service, 'replicas'>) {
  const mean = (local: number, far: number) => local * (1 - remote) + far * remote
  return {
    processes: mean(costs.run_process_ms, costs.remote_run_process_ms) + tokens * mean(costs.token_process_ms, costs.remote_token_process_ms),
    redis: mean(costs.run_redis_ms, costs.remote_run_redis_ms) + tokens * mean(costs.token_redis_ms, costs.remote_token_redis_ms),
    database: mean(costs.run_database_ms, costs.remote_run_database_ms)
  }
}
