import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Slots, type SlotTicket } from '../../src/lib/slots.js'
import { often } from '../support/scope.js'

/** Slots whose tickets have names: the user's letter and a number. */
function setUp ({ maxConcurrent = 10, maxPerUser = 10, maxWaiting = 100 } = {}) {
  const slots = new Slots({ maxConcurrent, maxPerUser, maxWaiting })
  const tickets = new Map<string, SlotTicket>()
  /** The positions that each ticket has reported. */
  const reported: Record<string, number[]> = {}
  return {
    slots,
    reported,
    enter (...names: string[]): boolean[] {
      return names.map(name => {
        reported[name] = []
        const ticket = slots.acquire(name[0]!)
        ticket?.watch(position => { reported[name]!.push(position) })
        if (ticket) tickets.set(name, ticket)
        return ticket !== undefined
      })
    },
    leave: (...names: string[]) => names.forEach(name => tickets.get(name)!.release()),
    position: (name: string) => tickets.get(name)!.position,
    /** The names of the tickets that have a slot. */
    async running (): Promise<string[]> {
      const names: string[] = []
      for (const [name, { turn }] of tickets) turn.then(() => { names.push(name) })
      await new Promise(resolve => setImmediate(resolve))
      return names.sort()
    },
    /** Releases the running tickets one after the other; returns which ticket got each slot. */
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

t.test('no more than maxConcurrent tickets have a slot; the others wait', async t => {
  const { slots, enter, leave, running } = setUp({ maxConcurrent: 2 })
  enter('a1', 'b1', 'c1', 'd1')
  t.strictSame(await running(), ['a1', 'b1'])
  t.strictSame([slots.running, slots.waiting], [2, 2])
  leave('a1')
  t.strictSame(await running(), ['a1', 'b1', 'c1'])
  t.strictSame([slots.running, slots.waiting], [2, 1])
  leave('b1', 'c1', 'd1')
  t.strictSame([slots.running, slots.waiting], [0, 0])
})

t.test('no more than maxPerUser slots belong to one user, and other users overtake the rest', async t => {
  const { enter, leave, running, position } = setUp({ maxConcurrent: 3, maxPerUser: 1 })
  enter('a1', 'a2', 'a3', 'b1')
  t.strictSame(await running(), ['a1', 'b1'])
  t.strictSame([position('a2'), position('a3')], [1, 2])
  leave('b1')
  t.strictSame(await running(), ['a1', 'b1'], 'the limit of a user holds although a slot is free')
  leave('a1')
  t.strictSame(await running(), ['a1', 'a2', 'b1'])
})

t.test('waiting users are served in turn', async t => {
  const { enter, drain } = setUp({ maxConcurrent: 1 })
  enter('x1', 'a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1')
  t.strictSame(drain('x1'), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4'])
})

t.test('a user who comes late does not wait for all tickets of one who came early', async t => {
  const { enter, leave, position, drain } = setUp({ maxConcurrent: 1 })
  enter('x1', 'a1', 'a2', 'a3', 'a4')
  leave('x1')
  enter('b1')
  t.ok(position('b1') <= 2)
  t.ok(drain('a1').indexOf('b1') <= 1)
})

t.test('tickets are served in the order of their positions', async t => {
  const { enter, position, drain } = setUp({ maxConcurrent: 1 })
  const names = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']
  enter('x1', ...names)
  const expected = names.toSorted((one, other) => position(one) - position(other))
  t.strictSame(drain('x1'), expected)
})

t.test('a waiting ticket reports its position, now and whenever it improves', async t => {
  const { enter, leave, reported } = setUp({ maxConcurrent: 1 })
  enter('a1', 'b1', 'c1', 'd1')
  t.strictSame(reported, { a1: [], b1: [1], c1: [2], d1: [3] })
  leave('c1')
  t.strictSame(reported, { a1: [], b1: [1], c1: [2], d1: [3, 2] }, 'a ticket ahead has left the queue')
  leave('a1')
  t.strictSame(reported, { a1: [], b1: [1], c1: [2], d1: [3, 2, 1] }, 'a ticket ahead has got a slot')
  enter('e1')
  t.strictSame(reported.d1, [3, 2, 1], 'an unchanged position is not reported')
})

t.test('far from its turn a ticket reports only when its position has halved', async t => {
  const { enter, drain, reported } = setUp({ maxConcurrent: 1 })
  enter('x1', ...Array.from({ length: 40 }, (_, index) => `a${index + 1}`))
  drain('x1')
  t.strictSame(reported.a40, [40, 20, 10, 5, 4, 3, 2, 1])
})

t.test('a full queue refuses tickets until there is room', async t => {
  const { slots, enter, leave, running } = setUp({ maxConcurrent: 1, maxWaiting: 1 })
  t.strictSame(enter('a1', 'b1', 'b2'), [true, true, false])
  t.strictSame([slots.running, slots.waiting], [1, 1])
  leave('b1')
  t.strictSame(enter('b3'), [true])
  leave('a1')
  t.strictSame(await running(), ['a1', 'b3'])
  const none = setUp({ maxConcurrent: 1, maxWaiting: 0 })
  t.strictSame(none.enter('a1', 'b1'), [true, false], 'a free slot is granted although nobody may wait')
})

t.test('one user\'s full queue refuses that user alone: the others may have a tenth of it each', async t => {
  const { slots, enter } = setUp({ maxConcurrent: 1, maxWaiting: 20 })
  const names = (user: string, count: number) => Array.from({ length: count }, (_, index) => `${user}${index}`)
  t.strictSame(enter(...names('a', 23)).filter(Boolean).length, 21)
  t.strictSame(enter(...names('b', 3)), [true, true, false])
  t.strictSame(enter(...names('c', 3)), [true, true, false])
  t.equal(slots.waiting, 24)
})

t.test('a listener that fails keeps no slot and no position from the others', async t => {
  const errors: unknown[] = []
  const slots = new Slots({ maxConcurrent: 1, maxPerUser: 1, maxWaiting: 10, onError: error => { errors.push(error) } })
  slots.acquire('a')
  const [next, bad, good] = [slots.acquire('b')!, slots.acquire('c')!, slots.acquire('d')!]
  bad.watch(position => { if (position === 1) throw new Error('cannot be told') })
  const positions: number[] = []
  good.watch(position => { positions.push(position) })
  next.release()
  t.strictSame(positions, [3, 2])
  t.match(errors, [{ message: 'cannot be told' }])
})

t.test('to release a ticket again does nothing', async t => {
  const { slots, enter, leave, running } = setUp({ maxConcurrent: 1 })
  enter('a1', 'a2', 'b1', 'c1')
  leave('a1', 'a1', 'a1')
  t.equal(slots.running, 1)
  leave('c1', 'c1')
  t.equal(slots.waiting, 1)
  t.equal((await running()).length, 2, 'one was released, one has its slot')
  leave('a2', 'b1', 'a2', 'b1', 'c1', 'a1')
  t.strictSame([slots.running, slots.waiting], [0, 0])
})

t.test('in any history the limits hold, no ticket waits while it could have a slot, and every ticket gets its turn', async t => {
  const limits = fc.record({ maxConcurrent: fc.integer({ min: 1, max: 4 }), maxPerUser: fc.integer({ min: 1, max: 3 }), maxWaiting: fc.nat(8) })
  const steps = fc.array(fc.oneof(
    { weight: 3, arbitrary: fc.record({ enter: fc.constantFrom('a', 'b', 'c', 'd') }) },
    { weight: 2, arbitrary: fc.record({ leave: fc.nat() }) }
  ), { maxLength: 80 })
  await t.resolves(fc.assert(fc.asyncProperty(limits, steps, async (limits, steps) => {
    const slots = new Slots(limits)
    const present: Array<{ user: string, ticket: SlotTicket, reported: number[] }> = []
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
      assert.equal(slots.running, present.length - waiting.length)
      assert.equal(slots.waiting, waiting.length)
      assert.ok(slots.running <= limits.maxConcurrent)
      // Where as few may wait, each user may have one of them whatever the others have.
      assert.ok(waiting.length <= limits.maxWaiting + (limits.maxWaiting > 0 ? 4 : 0))
      for (const { user } of present) assert.ok(runningOf(user) <= limits.maxPerUser)
      for (const { user } of waiting) assert.ok(!hasSlot(user), 'no ticket waits while it could have a slot')
      assert.deepEqual(waiting.map(({ ticket }) => ticket.position).sort(), waiting.map((_, index) => index + 1))
      for (const { reported } of waiting) assert.ok(reported.length > 0 && reported.every((position, index) => index === 0 || position < reported[index - 1]!))
    }
    for (const step of steps) {
      if ('leave' in step) {
        if (present.length > 0) remove(step.leave % present.length)
      } else {
        const reported: number[] = []
        const free = hasSlot(step.enter)
        const isFirst = !present.some(one => one.user === step.enter && !isRunning(one))
        const room = slots.waiting < limits.maxWaiting || (limits.maxWaiting > 0 && isFirst)
        const ticket = slots.acquire(step.enter)
        ticket?.watch(position => { reported.push(position) })
        assert.equal(ticket !== undefined, free || room, 'a ticket is refused only without a free slot and without room in the queue')
        if (ticket) present.push({ user: step.enter, ticket, reported })
        if (ticket) assert.equal(ticket.position === 0, free)
      }
      check()
    }
    while (present.length > 0) {
      const index = present.findIndex(isRunning)
      assert.notEqual(index, -1, 'some ticket has a slot as long as there is any')
      remove(index)
      check()
    }
    await Promise.all(everyTurn)
  }), { numRuns: often(500) }))
})
