import { once } from 'node:events'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { openBullTimer } from '../../src/schedules/timer-bullmq.js'
import { LocalTimer, type OnDue } from '../../src/schedules/timer.js'
import { findRedis, type RedisServer, startRedis } from '../support/doubles/redis-server.js'
import { listen, testTimer, timed } from './timer-contract.js'

let databases = 0

/** @param db the number of a database; those who name the same share it. */
async function openBull (t: Test, { port }: RedisServer, onDue: OnDue, db = ++databases) {
  const commands = new Redis({ port, db, enableOfflineQueue: false, maxRetriesPerRequest: 0 })
  const connection = new Redis({ port, db, maxRetriesPerRequest: null })
  for (const redis of [commands, connection]) redis.on('error', () => {})
  await once(commands, 'ready')
  const timer = await openBullTimer(commands, connection, onDue)
  t.teardown(async () => {
    await timer.close()
    for (const redis of [commands, connection]) redis.disconnect()
  })
  return timer
}

t.test('a timer of this process', t => testTimer(t, async (t, onDue) => {
  const timer = new LocalTimer(onDue)
  t.teardown(() => timer.close())
  return timer
}))

t.test('a timer that has more than it can be set to waits for it', async t => {
  const heard = listen()
  const timer = new LocalTimer(heard.onDue)
  t.teardown(() => timer.close())
  await timer.keep([{ id: 'next year', cron: '', timezone: '', at: Date.now() + 366 * 86_400_000 }])
  await new Promise(resolve => setImmediate(resolve))
  t.same(heard.ids, [])
})

t.test('timers that share Redis', async t => {
  if (!await findRedis(t)) return
  const redis = await startRedis(t)

  t.test('each alone', t => testTimer(t, (t, onDue) => openBull(t, redis, onDue)))

  t.test('of several one hears of each time, whoever keeps the schedule and however often', async t => {
    const heard = listen()
    const timers = await Promise.all([1, 2, 3].map(() => openBull(t, redis, heard.onDue, 15)))
    const [first, last] = [timed(3), timed(5)]
    await Promise.all(timers.map(timer => timer.keep([first, last])))
    await Promise.all(timers.map(timer => timer.keep([last, first])))
    await heard.has(last.id)
    t.same(heard.ids, [first.id, last.id])
  })

  t.test('a schedule that never comes to a time keeps no other from being shared, nor what is over from being removed', async t => {
    const db = ++databases
    const queue = new Queue('schedules', { connection: { port: redis.port, db }, prefix: 'jeesi' })
    t.teardown(() => queue.close())
    const timer = await openBull(t, redis, async () => {}, db)
    const yearly = { id: 'yearly', cron: '0 0 1 1 *', timezone: 'UTC', at: Date.now() + 86_400_000 }
    const never = { id: 'never', cron: '0 0 31 2,4,6 *', timezone: 'UTC', at: Date.now() + 86_400_000 }
    await timer.keep([never, yearly])
    t.same((await queue.getJobSchedulers()).map(({ key }) => key), ['yearly'])
    await timer.keep([{ ...never, id: 'yearly' }])
    t.equal(await queue.getJobSchedulersCount(), 0)
  })

  t.test('what Redis has forgotten is there again when it is kept again', async t => {
    const redis = await startRedis(t)
    const heard = listen()
    const timer = await openBull(t, redis, heard.onDue, 0)
    const queue = new Queue('schedules', { connection: redis.client, prefix: 'jeesi' })
    queue.on('error', () => {})
    t.teardown(() => queue.close())
    await timer.keep([timed(600)])
    t.equal(await queue.getJobSchedulersCount(), 1)
    await redis.restart()
    await queue.waitUntilReady()
    t.equal(await queue.getJobSchedulersCount(), 0)
    const schedule = timed(4)
    // Its own connection may not be back yet.
    while (!await timer.keep([schedule]).then(() => true, () => false)) await new Promise(resolve => setImmediate(resolve))
    t.match(await queue.getJobSchedulers(), [{ key: schedule.id, tz: 'UTC', pattern: schedule.cron }])
    await heard.has(schedule.id)
    await timer.keep([])
    t.equal(await queue.getJobSchedulersCount(), 0)
  })

  t.test('where Redis is away keeping fails soon, and so does closing end', async t => {
    const redis = await startRedis(t)
    const timer = await openBull(t, redis, async () => {})
    await timer.keep([timed(600)])
    await redis.stop()
    let startedAt = Date.now()
    await t.rejects(timer.keep([timed(600)]))
    t.ok(Date.now() - startedAt < 5000)
    startedAt = Date.now()
    await timer.close()
    t.ok(Date.now() - startedAt < 6000)
  })
})

// A worker of BullMQ that waits for a Redis that is gone outlives its end. A service's end takes it along; so does this.
t.teardown(() => { setTimeout(() => process.exit(), 2_000).unref() })
t.end()

t.test('what is due at once is handed on of each user in turn', async t => {
  const heard: string[][] = []
  const timer = new LocalTimer(async ids => { heard.push(ids) })
  t.teardown(() => timer.close())
  const timing = { cron: null, timezone: null }
  await timer.keep([1, 2, 3].map(turn => ({ id: `many ${turn}`, ...timing, at: Date.now() - 10_000 + turn, turn })).concat({ id: 'other', ...timing, at: Date.now() - 1, turn: 1 }))
  while (heard.length === 0) await new Promise(resolve => setImmediate(resolve))
  t.same(heard, [['many 1', 'other', 'many 2', 'many 3']])
})
