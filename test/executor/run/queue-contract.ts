import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { EventLog } from '../../../src/executor/events/event-log.js'
import type { Assignment, Ending } from '../../../src/executor/run/attempt.js'
import type { Executor } from '../../../src/executor/run/executor.js'
import type { Claimed, RunQueue } from '../../../src/executor/run/queue.js'
import type { SlotTicket } from '../../../src/lib/slots.js'
import { DONE, read } from '../events/event-log-contract.js'

export interface Limits { maxConcurrent: number, maxPerUser: number, maxWaiting: number }

/** A queue with what it serves; runs have names, which begin with the user's letter. */
export interface Stage {
  readonly queue: RunQueue
  readonly runs: TestRuns
  readonly log: EventLog
  /** Puts a run into the queue; false: it is full. Resolves when it waits, or has its slot. */
  enter (name: string): Promise<boolean>
  /** Where that is seen later than by `enter`: resolves when so many runs wait for others of their user. */
  untilParked? (count: number): Promise<void>
}

/** Runs that are made by nobody: they end when the test says so. */
export class TestRuns {
  /** Names in the order in which they got their slots. */
  readonly launched: string[] = []
  readonly cancelled: string[] = []
  /** Who made a run last. */
  readonly makers = new Map<string, unknown>()
  #ids = new Map<string, string>()
  #ends = new Map<string, (ending: Ending) => void>()
  #moves = new Set<() => void>()

  idOf (name: string): string {
    const id = this.#ids.get(name) ?? randomUUID()
    this.#ids.set(name, id)
    return id
  }

  nameOf (runId: string): string {
    for (const [name, id] of this.#ids) if (id === runId) return name
    throw new Error('no run of this test')
  }

  get running (): string[] { return [...this.#ends.keys()].sort() }

  /** What a queue asks of an executor. */
  createExecutor (log: EventLog, maker: unknown = undefined): Executor {
    const launch = async ({ run: { runId, attempt }, emitted: told = [] }: Assignment, ticket: SlotTicket): Promise<Ending> => {
      log.open(runId, attempt)
      for (const event of told) log.append(runId, event)
      await ticket.turn
      const name = this.nameOf(runId)
      log.append(runId, { type: 'started', runId, agentId: 'agent', attempt })
      const ended = new Promise<Ending>(resolve => this.#ends.set(name, resolve))
      this.makers.set(name, maker)
      this.launched.push(name)
      this.#move()
      const ending = await ended
      if (ending === 'settled') log.append(runId, { ...DONE, runId })
      else log.evict(runId)
      ticket.release()
      return ending
    }
    return { launch, cancel: (runId: string) => { this.cancelled.push(runId) } } as unknown as Executor
  }

  /** Ends a run that has its slot. */
  end (name: string, ending: Ending = 'settled'): void {
    this.#ends.get(name)!(ending)
    this.#ends.delete(name)
  }

  async untilLaunched (count: number): Promise<void> {
    while (this.launched.length < count) await new Promise<void>(resolve => { this.#moves.add(resolve) })
  }

  /** Ends what runs, one after the other; returns the order in which the others got their slot, so many. */
  async drain (count: number): Promise<string[]> {
    const before = this.launched.length
    for (let ended = 0; ended < count; ended++) {
      this.end(this.running[0]!)
      await this.untilLaunched(before + ended + 1)
    }
    this.end(this.running[0]!)
    return this.launched.slice(before)
  }

  #move (): void {
    for (const move of this.#moves) move()
    this.#moves.clear()
  }
}

/** A run that somebody takes. */
export function toClaimed (runId: string, userId: string, attempt = 1): Claimed {
  return { run: { runId, attempt, status: 'running' }, userId, cancel: false, input: {}, steps: [] } as unknown as Claimed
}

/** What every queue does, as long as nothing fails. */
export async function testQueue (t: Test, setUp: (t: Test, limits: Limits) => Promise<Stage>): Promise<void> {
  const limits = { maxConcurrent: 2, maxPerUser: 10, maxWaiting: 100 }

  t.test('so many run at once, and the others wait for their turn', async t => {
    const { runs, enter } = await setUp(t, limits)
    for (const name of ['a1', 'b1', 'c1', 'd1']) t.equal(await enter(name), true)
    await runs.untilLaunched(2)
    t.strictSame(runs.running, ['a1', 'b1'])
    runs.end('a1')
    await runs.untilLaunched(3)
    t.strictSame(runs.running, ['b1', 'c1'])
    runs.end('b1')
    runs.end('c1')
    await runs.untilLaunched(4)
    t.strictSame(runs.running, ['d1'])
    runs.end('d1')
  })

  t.test('who waits is served in turn by user', async t => {
    const { runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1 })
    for (const name of ['x1', 'a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) await enter(name)
    await runs.untilLaunched(1)
    t.strictSame(await runs.drain(7), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4'])
  })

  t.test('who comes late with one run is not behind all runs of one who came early', async t => {
    const { runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1 })
    await enter('x1')
    await runs.untilLaunched(1)
    for (let index = 1; index <= 20; index++) await enter(`a${index}`)
    runs.end('x1')
    await runs.untilLaunched(2)
    runs.end('a1')
    await runs.untilLaunched(3)
    await enter('b1')
    const order = await runs.drain(19)
    t.ok(order.indexOf('b1') <= 1, String(order))
    t.strictSame(order.filter(name => name !== 'b1'), Array.from({ length: 18 }, (_, index) => `a${index + 3}`))
  })

  t.test('so many of them are one user\'s, and others pass by who waits for that', async t => {
    const { runs, enter, untilParked } = await setUp(t, { maxConcurrent: 3, maxPerUser: 1, maxWaiting: 100 })
    for (const name of ['a1', 'a2', 'a3', 'b1']) await enter(name)
    await runs.untilLaunched(2)
    await untilParked?.(2)
    t.strictSame(runs.running, ['a1', 'b1'])
    for (const name of ['a1', 'a2', 'a3']) {
      await runs.untilLaunched(runs.launched.length + (runs.running.includes(name) ? 0 : 1))
      t.strictSame(runs.running, [name, 'b1'])
      runs.end(name)
    }
    runs.end('b1')
  })

  t.test('a queue that is full takes nobody, until there is room', async t => {
    const { runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1, maxWaiting: 2 })
    await enter('a1')
    await runs.untilLaunched(1)
    t.strictSame([await enter('a2'), await enter('b1'), await enter('c1')], [true, true, false])
    runs.end('a1')
    await runs.untilLaunched(2)
    t.equal(await enter('c2'), true)
    await runs.drain(2)
  })

  t.test('a place that is left is nobody\'s', async t => {
    const { queue, runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1, maxWaiting: 1 })
    const left = await queue.admit('a')
    left!.release()
    left!.release()
    await enter('a1')
    await runs.untilLaunched(1)
    const second = await queue.admit('b')
    second!.release()
    t.equal(await enter('b2'), true)
    await runs.drain(1)
    t.strictSame(runs.launched, ['a1', 'b2'])
  })

  t.test('who waits is told its position as it gets better, and then what becomes of it', async t => {
    const { log, runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1 })
    await enter('x1')
    await runs.untilLaunched(1)
    for (const name of ['a1', 'b1', 'c1']) await enter(name)
    const runId = runs.idOf('c1')
    const { reader } = read(log, runId)
    const isTold = (position: number) => reader.until(({ events }) => events.some(event => event.type === 'queued' && event.position === position))
    await isTold(3)
    runs.end('x1')
    await isTold(2)
    runs.end('a1')
    await isTold(1)
    runs.end('b1')
    await runs.untilLaunched(4)
    runs.end('c1')
    await reader.until(({ ends }) => ends > 0)
    const queued = [3, 2, 1].map((position): RunEvent => ({ type: 'queued', runId, position }))
    t.strictSame(reader.events, [...queued, { type: 'started', runId, agentId: 'agent', attempt: 1 }, { ...DONE, runId }])
    t.strictSame(reader.seqs, [1, 2, 3, 4, 5].map(index => firstSeq(1) + index - 1))
  })
}
