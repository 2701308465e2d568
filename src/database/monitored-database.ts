import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { errors, ServiceError } from '#shared/errors.ts'
import { Distribution } from '../lib/counts/distribution.js'
import type { CallParameters, FunctionName, ResultOf } from './functions.js'
import { type Database, type PoolState, UnfitDatabaseError } from './port.js'
import { checkSchema, type DatabaseState } from './schema-version.js'

/** How long the start waits for the database's first answer. */
const FIRST_ANSWER_MS = 2_000
/** How often a database that is not up is checked again. */
const CHECK_MS = 1_000
/** In seconds: a call takes milliseconds, and fails after 15 s. */
const CALL_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15]
/** Errors of a call after which the state is checked. */
const DOUBTFUL = new Set(['database_unavailable', 'database_not_migrated'])

/**
 * A database that knows its state and logs each change of it: once when the database goes away, once when it is back.
 * It checks the state at the start, after a call that failed, and then until the database is up; and for `isUp`.
 */
export class MonitoredDatabase implements Database {
  #state: DatabaseState = { status: 'up' }
  /** How many changes of the state were seen. */
  stateChanges = 0
  /** How long the calls took that were answered, errors that are answers included, in seconds. */
  readonly answered = new Distribution(CALL_BOUNDS)
  /** How many calls got no answer, or could not be made. */
  unanswered = 0
  /** Whether the schema was ever found to fit; before that no call is made. */
  #hasFit = false
  #checking: Promise<DatabaseState> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Rejects the calls that are under way. */
  #pending = new Set<(error: ServiceError) => void>()
  #isFailing = false

  constructor (private readonly database: Database, private readonly log: Pick<Logger, 'info' | 'warn' | 'error'>) {}

  /**
   * Checks the state for the first time. Resolves even if the database is away or read-only, and keeps checking then.
   * @throws {UnfitDatabaseError} if the database has another schema, or refuses this service.
   */
  async connect (): Promise<void> {
    const silent: DatabaseState = { status: 'away', reason: `it did not answer within ${FIRST_ANSWER_MS / 1000} s` }
    const state = await Promise.race([checkSchema(this.database), delay(FIRST_ANSWER_MS, silent, { ref: false })])
    if (needsOperator(state)) throw new UnfitDatabaseError(state.reason)
    this.#update(state)
    if (state.status === 'up' && state.reason) this.log.info(state.reason)
  }

  /** Checks whether the database answers, has a schema that fits, and accepts writes. Concurrent calls share one check. */
  async isUp (): Promise<boolean> {
    return (await this.#check()).status === 'up'
  }

  /** Whether it answered the last time, with a schema that fits. */
  get wasUp (): boolean { return this.#state.status === 'up' }

  get pool (): PoolState | undefined { return this.database.pool }

  async call<F extends FunctionName> (fn: F, ...args: CallParameters<F>): Promise<ResultOf<F>> {
    if (this.#isFailing) throw processEnds()
    if (!this.#hasFit) await this.#untilFailed(this.#check())
    if (this.#state.status === 'unfit') throw errors.databaseNotMigrated().with({ cause: new Error(this.#state.reason) })
    if (!this.#hasFit) throw errors.databaseUnavailable().with({ cause: new Error(this.#state.reason) })
    const startedAt = performance.now()
    try {
      const result = await this.#untilFailed(this.database.call(fn, ...args))
      this.#noteAnswer(startedAt)
      return result
    } catch (error) {
      const isDoubtful = error instanceof ServiceError && DOUBTFUL.has(error.code)
      if (isDoubtful) this.unanswered++
      else this.#noteAnswer(startedAt)
      if (isDoubtful && !this.#isFailing) this.#check()
      throw error
    }
  }

  /** Fails the calls under way, and all later ones, with `database_unavailable`, so that the end of the process waits for none. */
  failPending (): void {
    this.#isFailing = true
    clearTimeout(this.#timer)
    for (const reject of this.#pending) reject(processEnds())
  }

  async close (): Promise<void> {
    this.failPending()
    await this.database.close()
  }

  #noteAnswer (startedAt: number): void {
    this.answered.observe((performance.now() - startedAt) / 1000)
  }

  #untilFailed<T> (call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pending.add(reject)
      call.then(resolve, reject).then(() => this.#pending.delete(reject))
    })
  }

  #check (): Promise<DatabaseState> {
    this.#checking ??= checkSchema(this.database).then(state => {
      this.#checking = undefined
      this.#update(state)
      return state
    })
    return this.#checking
  }

  #update (state: DatabaseState): void {
    if (this.#isFailing) return
    const before = this.#state
    this.#state = state
    this.#hasFit ||= state.status === 'up' || state.status === 'read-only'
    if (state.status !== before.status) {
      this.stateChanges++
      this.#log(state)
    }
    clearTimeout(this.#timer)
    if (state.status !== 'up') this.#timer = setTimeout(() => this.#check(), CHECK_MS).unref()
  }

  #log (state: DatabaseState): void {
    if (needsOperator(state)) this.log.error(`${state.reason}; it is checked again every ${CHECK_MS / 1000} s`)
    else if (state.status === 'up') this.log.info(`the database is there${state.reason ? `: ${state.reason}` : ''}`)
    else this.log.warn(`waiting for the database: ${state.reason}`)
  }
}

function processEnds (): ServiceError {
  return errors.databaseUnavailable().with({ cause: new Error('this process ends') })
}

function needsOperator ({ status }: DatabaseState): boolean {
  return status === 'unfit' || status === 'refused'
}
