import fc from 'fast-check'
import { Redis } from 'ioredis'
import t from 'tap'
import { WindowCounter } from '../../src/lib/window-counter.js'
import { createSharedCounter } from '../../src/redis/amounts.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'

const HOUR_MS = 3_600_000

t.test('amounts that replicas count together', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const replicas = [new Redis(server.url), new Redis(server.url)] as const
  t.teardown(() => replicas.forEach(replica => replica.disconnect()))

  t.test('are taken as one process would take them, whichever replica asks', async t => {
    let keyspace = 0
    await fc.assert(fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.record({ replica: fc.constantFrom(0, 1), key: fc.constantFrom('a', 'b'), amount: fc.integer({ min: 0, max: 12 }) }), { maxLength: 20 }),
      async (max, takings) => {
        const counters = replicas.map(replica => createSharedCounter(replica, max, HOUR_MS))
        const one = new WindowCounter(max, HOUR_MS)
        const space = keyspace++
        for (const { replica, key, amount } of takings) {
          const rest = await counters[replica]!(`${space} ${key}`, amount)
          const isRefused = one.take(key, amount) > 0
          if (rest > HOUR_MS || (rest > 0) !== isRefused) return false
        }
        return true
      }), { numRuns: 50 })
    t.pass()
  })

  t.test('are taken again after the window', async t => {
    const take = createSharedCounter(replicas[0], 1, 300)
    t.equal(await take('short', 5), 0)
    while (await take('short', 1) > 0);
    t.equal(await replicas[0].exists('jeesi:amount:short'), 1, 'in a window of its own')
  })

  t.test('are all taken while Redis is away', async t => {
    const take = createSharedCounter(replicas[1], 1, HOUR_MS)
    await take('away', 1)
    t.ok(await take('away', 1) > 0)
    replicas[1].disconnect()
    t.equal(await take('away', 1), 0)
  })
})
