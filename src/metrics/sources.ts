import type { MonitoredDatabase } from '../database/monitored-database.js'
import type { GatewayState } from '../executor/gateway/health.js'
import type { Executor } from '../executor/run/executor.js'
import type { Runs } from '../executor/run/runs.js'
import type { Webhooks } from '../executor/tools/webhooks/webhooks.js'
import type { LoopDelay } from '../lib/counts/loop-delay.js'
import type { Tally } from '../lib/counts/tally.js'
import type { Slots } from '../lib/slots.js'
import type { RedisLink } from '../redis/link.js'
import type { SharedQueue } from '../redis/queue.js'
import type { ScheduleFigures } from '../schedules/schedules.js'

/** The parts of a process whose figures are read at each scrape. They count whether or not somebody reads. */
export interface Sources {
  readonly build: { version: string, commit?: string }
  readonly executor: Pick<Executor, 'figures' | 'size'>
  readonly runs: Pick<Runs, 'resumes'>
  readonly slots: Pick<Slots, 'running' | 'waiting'>
  readonly maxConcurrentRuns: number
  readonly sharedQueue?: Pick<SharedQueue, 'length'>
  readonly streams: { readonly size: number }
  readonly sessions: { readonly size: number }
  readonly requests: Tally<'method' | 'route' | 'status'>
  readonly gateway: { readonly last: GatewayState }
  readonly webhooks: Pick<Webhooks, 'ended' | 'outstanding'>
  /** Missing where this process fires no schedules. */
  readonly schedules?: ScheduleFigures
  readonly database: Pick<MonitoredDatabase, 'wasUp' | 'pool' | 'answered' | 'unanswered'>
  readonly redis?: Pick<RedisLink, 'isUp'>
  readonly loopDelay: LoopDelay
}
