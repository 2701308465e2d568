import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Slots, type SlotTicket } from '../../src/lib/slots.js'

/** A queue whose tickets have names: the user's letter and a number. */
function setUp ({ maxConcurrent = 10, maxPerUser = 10, maxWaiting = 100 } = {}) {
  const queue = new Slots({ maxConcurrent, maxPerUser, maxWaiting })
  const tickets = new Map<string, SlotTicket>()
  /** What each ticket was told of its position. */
  const told: Record<string, number[]> = {}
  return {
    queue,
    told,
    enter (...names: string[]): boolean[] {
      return names.map(name => {
        told[name] = []
        const ticket = queue.acquire(name[0]!)
        ticket?.watch(position => { told[name]!.push(position) })
        if (ticket) tickets.set(name, ticket)
        return ticket !== undefined
      })
    },
    leave: (...names: string[]) => names.forEach(name => tickets.get(name)!.release()),
    position: (name: string) => tickets.get(name)!.position,
    /** Those that have their slot, in the order they got it. */
    async running (): Promise<string[]> {
      const names: string[] = []
      for (const [name, { turn }] of tickets) turn.then(() => { names.push(name) })
      await new Promise(resolve => setImmediate(resolve))
      return names.sort()
    },
    /** Ends what runs, one after the other, and returns who came next each time. */
    drain (running: string): string[] {
      const order: string[] = []
      for (let next: string | undefined = running; next;) {
        const before = new Set([...tickets.keys()].filter(name => tickets.get(name)!.position === 0))
        tickets.get(next)!.release()
        tickets.delete(next)
        next = [...tickets.keys()].find(name => !before.has(name) && tickets.get(name)!.position === 0)
        if (next) order.push(next)
      }
      return order
    }
  }
}

t.test('so many run at once, and the others wait for their turn', async t => {
  const { queue, enter, leave, running } = setUp({ maxConcurrent: 2 })
  enter('a1', 'b1', 'c1', 'd1')
  t.strictSame(await running(), ['a1', 'b1'])
  t.strictSame([queue.running, queue.waiting], [2, 2])
  leave('a1')
  t.strictSame(await running(), ['a1', 'b1', 'c1'])
  t.strictSame([queue.running, queue.waiting], [2, 1])
  leave('b1', 'c1', 'd1')
  t.strictSame([queue.running, queue.waiting], [0, 0])
})

t.test('so many of them are one user\'s, and others pass by who waits for that', async t => {
  const { enter, leave, running, position } = setUp({ maxConcurrent: 3, maxPerUser: 1 })
  enter('a1', 'a2', 'a3', 'b1')
  t.strictSame(await running(), ['a1', 'b1'])
  t.strictSame([position('a2'), position('a3')], [1, 2])
  leave('b1')
  t.strictSame(await running(), ['a1', 'b1'], 'another\'s slot is none for them')
  leave('a1')
  t.strictSame(await running(), ['a1', 'a2', 'b1'])
})

t.test('who waits is served in turn by user', async t => {
  const { enter, drain } = setUp({ maxConcurrent: 1 })
  enter('x1', 'a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1')
  t.strictSame(drain('x1'), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4'])
})

t.test('a user who comes late is not behind all runs of one who came early', async t => {
  const { enter, leave, position, drain } = setUp({ maxConcurrent: 1 })
  enter('x1', 'a1', 'a2', 'a3', 'a4')
  leave('x1')
  enter('b1')
  t.ok(position('b1') <= 2)
  t.ok(drain('a1').indexOf('b1') <= 1)
})

t.test('the next in line is the one that was told so', async t => {
  const { enter, position, drain } = setUp({ maxConcurrent: 1 })
  const names = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']
  enter('x1', ...names)
  const expected = names.toSorted((one, other) => position(one) - position(other))
  t.strictSame(drain('x1'), expected)
})

t.test('who waits is told its position, now and whenever it gets better', async t => {
  const { enter, leave, told } = setUp({ maxConcurrent: 1 })
  enter('a1', 'b1', 'c1', 'd1')
  t.strictSame(told, { a1: [], b1: [1], c1: [2], d1: [3] })
  leave('c1')
  t.strictSame(told, { a1: [], b1: [1], c1: [2], d1: [3, 2] }, 'one before it that gives up')
  leave('a1')
  t.strictSame(told, { a1: [], b1: [1], c1: [2], d1: [3, 2, 1] }, 'and one that gets its slot')
  enter('e1')
  t.strictSame(told.d1, [3, 2, 1], 'what does not change is not told')
})

t.test('far from its turn a run is told only when it is twice as near', async t => {
  const { enter, drain, told } = setUp({ maxConcurrent: 1 })
  enter('x1', ...Array.from({ length: 40 }, (_, index) => `a${index + 1}`))
  drain('x1')
  t.strictSame(told.a40, [40, 20, 10, 5, 4, 3, 2, 1])
})

t.test('a queue that is full takes nobody, until there is room', async t => {
  const { queue, enter, leave, running } = setUp({ maxConcurrent: 1, maxWaiting: 1 })
  t.strictSame(enter('a1', 'b1', 'c1', 'a2'), [true, true, false, false])
  t.strictSame([queue.running, queue.waiting], [1, 1])
  leave('b1')
  t.strictSame(enter('c2'), [true])
  leave('a1')
  t.strictSame(await running(), ['a1', 'c2'])
  const none = setUp({ maxConcurrent: 1, maxWaiting: 0 })
  t.strictSame(none.enter('a1', 'b1'), [true, false], 'a free slot needs no place to wait')
})

t.test('leaving again is harmless', async t => {
  const { queue, enter, leave, running } = setUp({ maxConcurrent: 1 })
  enter('a1', 'a2', 'b1', 'c1')
  leave('a1', 'a1', 'a1')
  t.equal(queue.running, 1)
  leave('c1', 'c1')
  t.equal(queue.waiting, 1)
  t.equal((await running()).length, 2, 'one has run, one runs')
  leave('a2', 'b1', 'a2', 'b1', 'c1', 'a1')
  t.strictSame([queue.running, queue.waiting], [0, 0])
})

t.test('whatever comes and goes: never too many, nobody waits beside a free slot, all get their turn', async t => {
  const limits = fc.record({ maxConcurrent: fc.integer({ min: 1, max: 4 }), maxPerUser: fc.integer({ min: 1, max: 3 }), maxWaiting: fc.nat(8) })
  const steps = fc.array(fc.oneof(
    { weight: 3, arbitrary: fc.record({ enter: fc.constantFrom('a', 'b', 'c', 'd') }) },
    { weight: 2, arbitrary: fc.record({ leave: fc.nat() }) }
  ), { maxLength: 80 })
  await t.resolves(fc.assert(fc.asyncProperty(limits, steps, async (limits, steps) => {
    const queue = new Slots(limits)
    const present: Array<{ user: string, ticket: SlotTicket, told: number[] }> = []
    const everyTurn: Array<Promise<void>> = []
    const isRunning = ({ ticket }: { ticket: SlotTicket }) => ticket.position === 0
    const runningOf = (user: string) => present.filter(one => one.user === user && isRunning(one)).length
    const hasSlot = (user: string) => present.filter(isRunning).length < limits.maxConcurrent && runningOf(user) < limits.maxPerUser
    const remove = (index: number) => {
      const [gone] = present.splice(index, 1)
      if (isRunning(gone!)) everyTurn.push(gone!.ticket.turn)
      gone!.ticket.release()
    }
    const check = () => {
      const waiting = present.filter(one => !isRunning(one))
      assert.equal(queue.running, present.length - waiting.length)
      assert.equal(queue.waiting, waiting.length)
      assert.ok(queue.running <= limits.maxConcurrent && waiting.length <= limits.maxWaiting)
      for (const { user } of present) assert.ok(runningOf(user) <= limits.maxPerUser)
      for (const { user } of waiting) assert.ok(!hasSlot(user), 'nobody waits beside a free slot')
      assert.deepEqual(waiting.map(({ ticket }) => ticket.position).sort(), waiting.map((_, index) => index + 1))
      for (const { told } of waiting) assert.ok(told.length > 0 && told.every((position, index) => index === 0 || position < told[index - 1]!))
    }
    for (const step of steps) {
      if ('leave' in step) {
        if (present.length > 0) remove(step.leave % present.length)
      } else {
        const told: number[] = []
        const free = hasSlot(step.enter)
        const room = queue.waiting < limits.maxWaiting
        const ticket = queue.acquire(step.enter)
        ticket?.watch(position => { told.push(position) })
        assert.equal(ticket !== undefined, free || room, 'who finds a slot or a place is taken, and nobody else')
        if (ticket) present.push({ user: step.enter, ticket, told })
        if (ticket) assert.equal(ticket.position === 0, free)
      }
      check()
    }
    while (present.length > 0) {
      const index = present.findIndex(isRunning)
      assert.notEqual(index, -1, 'somebody runs as long as anybody is there')
      remove(index)
      check()
    }
    await Promise.all(everyTurn)
  }), { numRuns: 500 }))
})
