import t from 'tap'
import { MemoryTicket, roomFor } from '../../../src/executor/run/memory-ticket.js'
import { INPUT_COST } from '../../../src/lib/memory/memory-budget.js'
import { MemoryShare } from '../../../src/lib/memory/memory-share.js'
import { Slots } from '../../../src/lib/slots.js'

function setUp (maxConcurrent: number) {
  const resources = { slots: new Slots({ maxConcurrent, maxPerUser: 10, maxWaiting: 10 }), memory: new MemoryShare(100 * INPUT_COST) }
  const request = (userId: string, bytes: number) => new MemoryTicket(resources, userId, bytes, resources.slots.acquireOrWait(userId))
  return { ...resources, request }
}

t.test('a large run has slot and memory at once if both are free', async t => {
  const { slots, memory, request } = setUp(1)
  const ticket = request('a', 50)
  t.equal(ticket.position, 0)
  await ticket.turn
  t.equal(memory.used, 50 * INPUT_COST)
  ticket.release()
  ticket.release()
  t.equal(memory.used, 0)
  t.equal(slots.running, 0)
})

t.test('a run that waits for memory takes no slot from others, and has both in the end', async t => {
  const { slots, request } = setUp(2)
  const first = request('a', 100)
  const second = request('b', 60)
  const positions: number[] = []
  t.equal(second.position, 1)
  second.watch(position => positions.push(position))
  await new Promise(resolve => setImmediate(resolve))
  t.same(positions, [1])
  t.equal(slots.running, 1)
  const small = slots.acquire('c')
  t.equal(small?.position, 0, 'a small run goes on')
  first.release()
  await second.turn
  t.equal(second.position, 0)
  t.equal(slots.running, 2)
})

t.test('a run that waits for its slot holds no memory', async t => {
  const { memory, slots, request } = setUp(1)
  const running = slots.acquire('a')!
  const waiting = request('b', 50)
  t.equal(memory.used, 0)
  running.release()
  await waiting.turn
  t.equal(memory.used, 50 * INPUT_COST)
})

t.test('a run that is released while it waits for memory leaves nothing behind', async t => {
  const { memory, slots, request } = setUp(2)
  const first = request('a', 100)
  const second = request('b', 60)
  await new Promise(resolve => setImmediate(resolve))
  second.release()
  first.release()
  await new Promise(resolve => setImmediate(resolve))
  t.equal(memory.used, 0)
  t.equal(slots.running, 0)
})

t.test('there is room for what is free, and for anything if all is', t => {
  const memory = new MemoryShare(100 * INPUT_COST)
  t.ok(roomFor(memory) > 1e8)
  memory.tryTake('a', 40 * INPUT_COST)
  t.equal(roomFor(memory), 60)
  t.end()
})
