import { EventEmitter } from 'node:events'
import t from 'tap'
import { takeMemory } from '../../src/http/arriving-memory.js'
import { MemoryShare } from '../../src/lib/memory/memory-share.js'

const LIMITS = { ofCaller: 1, inAll: 2 }
const BUSY = { code: 'server_busy', statusCode: 503, retryAfter: 5 }

t.test('a body waits for the memory of those before it', async t => {
  const share = new MemoryShare(100)
  const first = await takeMemory(share, 'a', 100, new EventEmitter(), LIMITS)
  const second = takeMemory(share, 'b', 100, new EventEmitter(), LIMITS)
  first.release()
  const hold = await second
  t.equal(share.used, 100)
  hold.release()
})

t.test('what is more than may wait is refused, for a time', async t => {
  const share = new MemoryShare(100)
  const first = await takeMemory(share, 'a', 100, new EventEmitter(), LIMITS)
  const waiting = [takeMemory(share, 'b', 1, new EventEmitter(), LIMITS), takeMemory(share, 'c', 1, new EventEmitter(), LIMITS)]
  await t.rejects(takeMemory(share, 'b', 1, new EventEmitter(), LIMITS), BUSY, 'of the caller')
  await t.rejects(takeMemory(share, 'd', 1, new EventEmitter(), LIMITS), BUSY, 'in all')
  first.release()
  for (const hold of await Promise.all(waiting)) hold.release()
})

t.test('a client that has gone waits no longer', async t => {
  const share = new MemoryShare(100)
  const first = await takeMemory(share, 'a', 100, new EventEmitter(), LIMITS)
  const connection = new EventEmitter()
  const waiting = takeMemory(share, 'b', 100, connection, LIMITS)
  connection.emit('close')
  await t.rejects(waiting, BUSY)
  first.release()
  t.equal(share.used, 0)
  t.equal(connection.listenerCount('close'), 0)
})
