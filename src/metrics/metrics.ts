import { errors } from '#shared/errors.ts'
import type { Metric, MetricValues } from './metric.js'
import { OF_CALLERS } from './of-callers.js'
import { OF_PROCESS } from './of-process.js'
import { OF_RUNS } from './of-runs.js'
import type { Sources } from './sources.js'

/** All metrics. What there is is said here alone: dashboards and alerts are held against this table. */
export const METRICS: readonly Metric[] = [...OF_RUNS, ...OF_CALLERS, ...OF_PROCESS]

/** Finds the values of all processes that share a port. */
type Gather = () => Promise<MetricValues[][]>

/** The figures of a process, for a scrape. Between two scrapes it does nothing. */
export class Metrics {
  #gather: Gather = async () => [await this.read()]
  #scrape: Promise<string> | undefined

  constructor (private readonly sources: Sources) {}

  /** The values of this process. */
  async read (): Promise<MetricValues[]> {
    return Promise.all(METRICS.map(async ({ name, help, type, join: aggregator, read }) => ({ name, help, type, aggregator, values: await read(this.sources) })))
  }

  /** Has the values of several processes joined from now on. */
  gatherBy (gather: Gather): void {
    this.#gather = gather
  }

  /**
   * All values as Prometheus reads them. Scrapes at the same time share one.
   * @throws {ServiceError} internal_error.
   */
  text (): Promise<string> {
    this.#scrape ??= this.#render().finally(() => { this.#scrape = undefined })
    return this.#scrape
  }

  async #render (): Promise<string> {
    try {
      // Loaded with the first scrape.
      const [{ render }, values] = await Promise.all([import('./join.js'), this.#gather()])
      return await render(values)
    } catch (cause) {
      throw errors.internal().with({ cause })
    }
  }
}
