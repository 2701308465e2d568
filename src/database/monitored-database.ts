import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { errors, ServiceError } from '#shared/errors.ts'
import type { CallParameters, FunctionName, ResultOf } from './functions.js'
import { type Database, UnfitDatabaseError } from './port.js'
import { examine, type Finding } from './schema-version.js'

/** How long a start waits for a database that says nothing. */
const FIRST_ANSWER_MS = 2_000
/** How often a database that is not as it should be is asked again. */
const ASK_MS = 1_000
/** Errors of a call after which it is doubtful whether the database is as it should be. */
const DOUBTFUL = new Set(['database_unavailable', 'database_not_migrated'])

/**
 * A database whose state is known, and told in the log when it changes: once when it goes, once when it is back.
 * While it is as it should be nobody asks, but for `isUp`.
 */
export class MonitoredDatabase implements Database {
  #last: Finding = { state: 'up' }
  /** Whether its schema was ever found to fit: before that nothing is written to it. */
  #isKnown = false
  #asking: Promise<Finding> | undefined
  #timer: NodeJS.Timeout | undefined
  /** What ends the calls that are under way. */
  #waiting = new Set<(error: ServiceError) => void>()
  #isGivenUp = false

  constructor (private readonly database: Database, private readonly log: Pick<Logger, 'info' | 'warn' | 'error'>) {}

  /**
   * Asks for the first time; one that is away or read-only is waited for from here on, and this does not wait.
   * @throws {UnfitDatabaseError} where it has another schema, or does not let this service in.
   */
  async connect (): Promise<void> {
    const nothing: Finding = { state: 'away', why: `it said nothing for ${FIRST_ANSWER_MS / 1000} s` }
    const finding = await Promise.race([examine(this.database), delay(FIRST_ANSWER_MS, nothing, { ref: false })])
    if (isForOperator(finding)) throw new UnfitDatabaseError(finding.why)
    this.#note(finding)
    if (finding.state === 'up' && finding.why) this.log.info(finding.why)
  }

  /** Asks whether it is there, fits, and can be written to; those who ask at the same time share an answer. */
  async isUp (): Promise<boolean> {
    return (await this.#ask()).state === 'up'
  }

  async call<F extends FunctionName> (fn: F, ...args: CallParameters<F>): Promise<ResultOf<F>> {
    if (this.#isGivenUp) throw givenUp()
    if (!this.#isKnown) await this.#untilGivenUp(this.#ask())
    if (this.#last.state === 'unfit') throw errors.databaseNotMigrated().with({ cause: new Error(this.#last.why) })
    if (!this.#isKnown) throw errors.databaseUnavailable().with({ cause: new Error(this.#last.why) })
    try {
      return await this.#untilGivenUp(this.database.call(fn, ...args))
    } catch (error) {
      if (error instanceof ServiceError && DOUBTFUL.has(error.code) && !this.#isGivenUp) this.#ask()
      throw error
    }
  }

  /** Ends the calls that are under way, and each that is still made, as if the database had gone: who ends waits for none. */
  failPending (): void {
    this.#isGivenUp = true
    clearTimeout(this.#timer)
    for (const end of this.#waiting) end(givenUp())
  }

  async close (): Promise<void> {
    this.failPending()
    await this.database.close()
  }

  #untilGivenUp<T> (call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject)
      call.then(resolve, reject).then(() => this.#waiting.delete(reject))
    })
  }

  #ask (): Promise<Finding> {
    this.#asking ??= examine(this.database).then(finding => {
      this.#asking = undefined
      this.#note(finding)
      return finding
    })
    return this.#asking
  }

  #note (finding: Finding): void {
    if (this.#isGivenUp) return
    const before = this.#last
    this.#last = finding
    this.#isKnown ||= finding.state === 'up' || finding.state === 'read-only'
    if (finding.state !== before.state) this.#tell(finding)
    clearTimeout(this.#timer)
    if (finding.state !== 'up') this.#timer = setTimeout(() => this.#ask(), ASK_MS).unref()
  }

  #tell (finding: Finding): void {
    if (isForOperator(finding)) this.log.error(`${finding.why}; it is asked again and again`)
    else if (finding.state === 'up') this.log.info(`the database is there${finding.why ? `: ${finding.why}` : ''}`)
    else this.log.warn(`waiting for the database: ${finding.why}`)
  }
}

function givenUp (): ServiceError {
  return errors.databaseUnavailable().with({ cause: new Error('this process ends') })
}

function isForOperator ({ state }: Finding): boolean {
  return state === 'unfit' || state === 'refused'
}
