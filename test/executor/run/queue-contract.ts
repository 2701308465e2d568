import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { ClaimedRun } from '#shared/database/runs.ts'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { EventLog } from '../../../src/executor/events/event-log.js'
import type { Assignment } from '../../../src/executor/run/assignment.js'
import type { Ending } from '../../../src/executor/run/attempt-deps.js'
import type { RunLauncher, RunQueue } from '../../../src/executor/run/queue.js'
import type { SlotTicket } from '../../../src/lib/slots.js'
import { DONE, read } from '../events/event-log-contract.js'

export interface Limits { maxConcurrent: number, maxPerUser: number, maxWaiting: number }

/** A queue under test. Runs have names, which begin with the user's letter. */
export interface Stage {
  readonly queue: RunQueue
  readonly runs: TestRuns
  readonly log: EventLog
  /** Queues a run, and resolves when it waits or has its slot. Returns false if the queue is full. */
  enter (name: string): Promise<boolean>
  /** For a queue that parks runs after `enter`: resolves when `count` runs wait for another run of their user. */
  untilParked? (count: number): Promise<void>
}

/** Runs that do nothing, and end at the test's command. */
export class TestRuns {
  /** Names in the order in which they got their slots. */
  readonly launched: string[] = []
  readonly cancelled: string[] = []
  /** By which launcher a run was launched last. */
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

  createLauncher (log: EventLog, maker: unknown = undefined): RunLauncher {
    const launch = async ({ run: { runId, attempt }, emitted = [] }: Assignment, ticket: SlotTicket): Promise<Ending> => {
      log.open(runId, attempt)
      for (const event of emitted) log.append(runId, event)
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
    return { launch, cancel: async runId => { this.cancelled.push(runId) } }
  }

  /** Ends a running run. */
  end (name: string, ending: Ending = 'settled'): void {
    this.#ends.get(name)!(ending)
    this.#ends.delete(name)
  }

  async untilLaunched (count: number): Promise<void> {
    while (this.launched.length < count) await new Promise<void>(resolve => { this.#moves.add(resolve) })
  }

  /** Ends the running runs one after the other until `count` others were launched; returns these in order. */
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

/** A run as a claim returns it. */
export function toClaimed (runId: string, userId: string, attempt = 1): ClaimedRun {
  return { run: { runId, attempt, status: 'running' }, userId, cancel: false, input: {}, steps: [] } as unknown as ClaimedRun
}

/** Tests what every queue does while nothing fails. */
export async function testQueue (t: Test, setUp: (t: Test, limits: Limits) => Promise<Stage>): Promise<void> {
  const limits = { maxConcurrent: 2, maxPerUser: 10, maxWaiting: 100 }

  t.test('no more than maxConcurrent runs are executed at a time; the others wait', async t => {
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

  t.test('waiting users are served in turn', async t => {
    const { runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1 })
    for (const name of ['x1', 'a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1']) await enter(name)
    await runs.untilLaunched(1)
    t.strictSame(await runs.drain(7), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4'])
  })

  t.test('a user who comes late does not wait for all runs of one who came early', async t => {
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

  t.test('no more than maxPerUser of them belong to one user, and other users overtake the rest', async t => {
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

  t.test('a full queue refuses runs until there is room', async t => {
    const { runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1, maxWaiting: 2 })
    await enter('a1')
    await runs.untilLaunched(1)
    t.strictSame([await enter('a2'), await enter('a3'), await enter('a4')], [true, true, false])
    runs.end('a1')
    await runs.untilLaunched(2)
    t.equal(await enter('a5'), true)
    await runs.drain(2)
  })

  t.test('a queue that one user has filled, while slots are free, refuses that user alone', async t => {
    const { runs, enter, untilParked } = await setUp(t, { maxConcurrent: 3, maxPerUser: 1, maxWaiting: 3 })
    for (const name of ['a1', 'a2', 'a3', 'a4']) t.equal(await enter(name), true)
    await untilParked?.(3)
    t.equal(await enter('a5'), false)
    t.equal(await enter('b1'), true)
    await runs.untilLaunched(2)
    t.strictSame(runs.running, ['a1', 'b1'])
    runs.end('b1')
    t.strictSame(await runs.drain(3), ['a2', 'a3', 'a4'])
  })

  t.test('a released admission is free again', async t => {
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

  t.test('a waiting run emits its position as it improves, then its other events', async t => {
    const { log, runs, enter } = await setUp(t, { ...limits, maxConcurrent: 1 })
    await enter('x1')
    await runs.untilLaunched(1)
    for (const name of ['a1', 'b1', 'c1']) await enter(name)
    const runId = runs.idOf('c1')
    const { reader } = read(log, runId)
    const isEmitted = (position: number) => reader.until(({ events }) => events.some(event => event.type === 'queued' && event.position === position))
    await isEmitted(3)
    runs.end('x1')
    await isEmitted(2)
    runs.end('a1')
    await isEmitted(1)
    runs.end('b1')
    await runs.untilLaunched(4)
    runs.end('c1')
    await reader.until(({ ends }) => ends > 0)
    const queued = [3, 2, 1].map((position): RunEvent => ({ type: 'queued', runId, position }))
    t.strictSame(reader.events, [...queued, { type: 'started', runId, agentId: 'agent', attempt: 1 }, { ...DONE, runId }])
    t.strictSame(reader.seqs, [1, 2, 3, 4, 5].map(index => firstSeq(1) + index - 1))
  })
}
