import { hash } from 'node:crypto'
import { AUTHOR_LIMITS } from '#shared/bounds/author-limits.ts'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import { Slots } from '../../../lib/slots.js'
import { startWorkClock } from '../../../lib/work-clock.js'
import type { Tool } from '../tool.js'
import { type CheckedArguments, tooMuch } from './check.js'
import { SchemaThread, ThreadFailedError } from './schema-thread.js'

/** Milliseconds of work for one call: to compile its schema, and to check its arguments. */
const CALL_BUDGET = 500
/** Milliseconds of work for all calls of a turn together. */
const TURN_BUDGET = 2000
/** For how many milliseconds a schema that took too long is not tried again for the same user. */
const BAD_MS = 600_000
const MAX_BAD = 1000

/** Checks the calls of one turn, one after the other. */
export interface TurnCheck {
  /** @throws {ThreadFailedError} if the thread cannot be started. */
  check (tool: Pick<Tool, 'name' | 'parameters'>, json: string): Promise<CheckedArguments>
}

interface Schema { json: string, hash: string }

/**
 * Checks what models send to tools, in a thread of its own: a small schema of a stranger may take for ever, to compile or
 * to check against. The users' calls take turns. A schema that takes too long is remembered for the user whose call it
 * was, so that nobody makes it useless to others.
 */
export class ArgumentChecker {
  readonly #slots = new Slots({ maxConcurrent: 1, maxPerUser: 1, maxWaiting: Infinity })
  readonly #schemas = new WeakMap<object, Schema | null>()
  /** When a user may try a schema again, by both. */
  readonly #bad = new Map<string, number>()
  #thread: SchemaThread | undefined

  /** @param userId the user whose turn it is. */
  forTurn (userId: string): TurnCheck {
    let left = TURN_BUDGET
    let last: Promise<unknown> = Promise.resolve()
    const check = async (tool: Pick<Tool, 'name' | 'parameters'>, json: string): Promise<CheckedArguments> => {
      if (left <= 0) return { problem: tooMuch(tool.name) }
      const ticket = this.#slots.acquireOrWait(userId)
      try {
        await ticket.turn
        const thread = await this.#startThread()
        const worked = startWorkClock()
        const checked = await this.#check(thread, tool, json, userId, Math.min(left, CALL_BUDGET))
        left -= worked()
        // Another thread has to start, which takes about as long.
        if (thread.hasEnded) left -= CALL_BUDGET
        return checked
      } finally {
        ticket.release()
      }
    }
    return {
      check (tool, json) {
        const checked = last.then(() => check(tool, json))
        last = checked.catch(() => {})
        return checked
      }
    }
  }

  async #startThread (): Promise<SchemaThread> {
    if (!this.#thread || this.#thread.hasEnded) this.#thread = new SchemaThread()
    await this.#thread.started
    return this.#thread
  }

  async #check (thread: SchemaThread, { name, parameters }: Pick<Tool, 'name' | 'parameters'>, json: string, userId: string, ms: number): Promise<CheckedArguments> {
    const schema = this.#schemaOf(parameters)
    const key = `${userId} ${schema?.hash}`
    if ((this.#bad.get(key) ?? 0) > Date.now()) return { problem: tooMuch(name) }
    try {
      return await thread.check({ name, schema: schema?.json ?? null, json }, ms)
    } catch (error) {
      if (!(error instanceof ThreadFailedError)) throw error
      this.#remember(key)
      return { problem: tooMuch(name) }
    }
  }

  #remember (key: string): void {
    this.#bad.set(key, Date.now() + BAD_MS)
    const [oldest] = this.#bad.keys()
    if (this.#bad.size > MAX_BAD) this.#bad.delete(oldest!)
  }

  /** The JSON of a schema; null if it is too large or too deep, and any object passes. */
  #schemaOf (parameters: object): Schema | null {
    const known = this.#schemas.get(parameters)
    if (known !== undefined) return known
    const isWithin = jsonSizeWithin(parameters, AUTHOR_LIMITS.parameters) !== undefined
    const json = isWithin ? JSON.stringify(parameters) : ''
    const schema = isWithin ? { json, hash: hash('sha256', json) } : null
    this.#schemas.set(parameters, schema)
    return schema
  }
}
