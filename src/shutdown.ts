import { setTimeout as delay } from 'node:timers/promises'

/**
 * How a process ends. Phases run in the order of this table; the parts of one phase run at the same time, and the phase
 * takes its largest budget at most. A part that needs longer is left behind, and the log says so.
 *
 * `budgetMs` is in milliseconds; for `drain` it is DRAIN_SECONDS. Fastify closes its server between `sockets` and
 * `clients`: by then requests have been cut off, see REQUESTS_MS.
 */
export const SHUTDOWN = [
  { phase: 'admission', part: 'queue', budgetMs: 0, ends: 'taking runs from the queue; new requests are refused with shutting_down' },
  { phase: 'drain', part: 'runs', budgetMs: 'DRAIN_SECONDS', ends: 'the runs under way, by themselves' },
  { phase: 'goodbye', part: 'connections', budgetMs: 0, ends: 'keep-alive; unused connections are cut, and after REQUESTS_MS all' },
  { phase: 'goodbye', part: 'databaseCalls', budgetMs: 0, ends: 'waiting for a silent database, after DATABASE_CALLS_MS' },
  { phase: 'goodbye', part: 'eventStreams', budgetMs: 0, ends: 'SSE streams, with `reconnect`; after GOODBYE_MS they are cut' },
  { phase: 'release', part: 'attempts', budgetMs: 1_500, ends: 'attempts that are still under way; a write may finish' },
  { phase: 'jobs', part: 'jobs', budgetMs: 2_000, ends: 'the shared queue; jobs of released attempts go back into it' },
  { phase: 'handover', part: 'leases', budgetMs: 2_000, ends: 'the leases of this process, so that another one claims its runs' },
  { phase: 'handover', part: 'remoteReaders', budgetMs: 0, ends: 'looking for the ends of remote runs' },
  { phase: 'handover', part: 'retention', budgetMs: 0, ends: 'erasing old runs' },
  { phase: 'handover', part: 'schedules', budgetMs: 1_000, ends: 'firings and deliveries that are under way' },
  { phase: 'handover', part: 'webhooks', budgetMs: 2_000, ends: 'webhooks that are under way; what waits for a retry is lost and logged' },
  { phase: 'handover', part: 'python', budgetMs: 3_000, ends: 'Python workers, with all processes they have started' },
  { phase: 'sockets', part: 'webSockets', budgetMs: 0, ends: 'WebSockets, with 1012; after GOODBYE_MS they are cut' },
  { phase: 'clients', part: 'outbound', budgetMs: 500, ends: 'connections of tools' },
  { phase: 'clients', part: 'gateway', budgetMs: 500, ends: 'connections to the AI gateway, and the demo model' },
  { phase: 'clients', part: 'eventLog', budgetMs: 500, ends: 'the event log' },
  { phase: 'stores', part: 'traces', budgetMs: 2_000, ends: 'sending spans to the collector; what it does not take by then is lost' },
  { phase: 'stores', part: 'redis', budgetMs: 2_500, ends: 'connections to Redis' },
  { phase: 'stores', part: 'database', budgetMs: 2_500, ends: 'connections to the database' }
] as const satisfies readonly Row[]

interface Row { phase: string, part: string, budgetMs: number | 'DRAIN_SECONDS', ends: string }
type Phase = typeof SHUTDOWN[number]['phase']
/** What a plugin registers the end of. */
export type Part = typeof SHUTDOWN[number]['part']

/** Ends a part. @param budgetMs how long it may take. */
type End = (budgetMs: number) => unknown

/** From `goodbye` on, when requests that hold up the end are cut off; Fastify's server is closed then. */
export const REQUESTS_MS = 5_500
/** From `goodbye` on, when calls that a silent database does not answer fail; their requests can still be answered. */
export const DATABASE_CALLS_MS = 5_000
/** How long the reader of a stream or a WebSocket has to take the goodbye. */
export const GOODBYE_MS = 1_000
/** How much longer the first of several processes waits for the others before it kills them. */
export const PRIMARY_MS = 300
/** What the platform gives beyond DRAIN_SECONDS before it kills: RAILWAY_DEPLOYMENT_DRAINING_SECONDS is set so. */
export const PLATFORM_MS = 10_000

const FAILED = 'a part did not end as it should'

const BEFORE_DRAIN: readonly Phase[] = ['admission', 'drain']
const BEFORE_SERVER: readonly Phase[] = ['goodbye', 'release', 'jobs', 'handover', 'sockets']
const AFTER_SERVER: readonly Phase[] = ['clients', 'stores']

/** The longest that a process takes to end after its drain, in milliseconds. */
export const CLOSE_MS = Math.max(budgetOf(BEFORE_SERVER), REQUESTS_MS) + budgetOf(AFTER_SERVER)

function budgetOf (phases: readonly Phase[]): number {
  return phases.reduce((sum, phase) => sum + Math.max(...rowsOf(phase).map(({ budgetMs }) => Number(budgetMs))), 0)
}

function rowsOf (phase: Phase) {
  return SHUTDOWN.filter(row => row.phase === phase)
}

/** Ends a process by the table above. Plugins register their parts; their order there does not matter. */
export class Shutdown {
  readonly #ends = new Map<Part, End>()
  #isDraining = false

  /**
   * @param drainMs how long the runs under way may go on.
   * @param warn takes a line for the operators: a part that failed or took longer than its budget.
   */
  constructor (private readonly drainMs: number, private readonly warn: (fields: object, message: string) => void) {}

  /** Whether the process is about to end, so that no run begins any more. */
  get isDraining (): boolean { return this.#isDraining }

  /** Registers how a part ends. */
  on (part: Part, end: End): void {
    if (this.#ends.has(part)) throw new Error(`the end of ${part} is registered twice`)
    this.#ends.set(part, end)
  }

  /** Lets the runs under way end by themselves; called before the server closes. */
  async drain (): Promise<void> {
    this.#isDraining = true
    await this.#run(BEFORE_DRAIN)
  }

  /** What ends before Fastify closes its server. */
  async beforeServer (): Promise<void> {
    this.#isDraining = true
    await this.#run(BEFORE_SERVER)
  }

  /** What ends once no request is under way any more. */
  async afterServer (): Promise<void> {
    await this.#run(AFTER_SERVER)
  }

  async #run (phases: readonly Phase[]): Promise<void> {
    for (const phase of phases) await Promise.all(rowsOf(phase).map(({ part, budgetMs }) => this.#end(part, budgetMs)))
  }

  async #end (part: Part, budget: Row['budgetMs']): Promise<void> {
    const budgetMs = budget === 'DRAIN_SECONDS' ? this.drainMs : budget
    const timeout = new AbortController()
    try {
      const ended = Promise.resolve(this.#ends.get(part)?.(budgetMs)).then(() => true)
      // A part without a budget is started and not waited for.
      if (budgetMs === 0) {
        ended.catch(err => this.warn({ err, part }, FAILED))
        return
      }
      const isInTime = await Promise.race([ended, delay(budgetMs, false, { signal: timeout.signal })])
      if (!isInTime && budget !== 'DRAIN_SECONDS') this.warn({ part, budgetMs }, 'a part did not end within its budget')
    } catch (err) {
      this.warn({ err, part }, FAILED)
    } finally {
      timeout.abort()
    }
  }
}
