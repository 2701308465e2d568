import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { CLOSE_MS, DATABASE_CALLS_MS, GOODBYE_MS, PLATFORM_MS, REQUESTS_MS, SHUTDOWN, Shutdown, type Part } from '../src/shutdown.js'

type Warning = { part: Part, budgetMs?: number, err?: unknown }

function start (drainMs = 50) {
  const warnings: Warning[] = []
  const order: string[] = []
  const shutdown = new Shutdown(drainMs, fields => { warnings.push(fields as Warning) })
  const all = async () => {
    await shutdown.drain()
    await shutdown.beforeServer()
    order.push('server')
    await shutdown.afterServer()
  }
  return { shutdown, warnings, order, all }
}

t.test('all that ends has its place in one table, and the sum fits what the platform gives', async t => {
  t.ok(CLOSE_MS <= PLATFORM_MS, `${CLOSE_MS} ms of ${PLATFORM_MS}`)
  t.equal(new Set(SHUTDOWN.map(({ part }) => part)).size, SHUTDOWN.length, 'each part stands in it once')
  const serial = SHUTDOWN.map(({ phase }) => phase)
  t.same(serial, [...new Set(serial)].flatMap(phase => serial.filter(other => other === phase)), 'the rows of a phase stand together')
  t.ok(DATABASE_CALLS_MS < REQUESTS_MS, 'a request that waits for a silent database is answered before it is cut off')
  t.ok(GOODBYE_MS < REQUESTS_MS)
  const example = readFileSync(new URL('../.env.example', import.meta.url), 'utf8')
  t.match(example, /10 s|ten seconds/i, 'operators are told what the platform has to give')
})

t.test('parts end in the order of the table, whatever the order in which they were registered', async t => {
  const { shutdown, order, all, warnings } = start()
  for (const { part } of [...SHUTDOWN].reverse()) shutdown.on(part, () => { order.push(part) })
  await all()
  const parts: string[] = SHUTDOWN.map(({ part }) => part)
  t.same(order, [...parts.slice(0, parts.indexOf('outbound')), 'server', ...parts.slice(parts.indexOf('outbound'))])
  t.same(warnings, [])
})

t.test('the parts of one phase end at the same time, and the next phase waits for all of them', async t => {
  const { shutdown, order } = start()
  let finish = () => {}
  shutdown.on('redis', () => new Promise<void>(resolve => { finish = () => { order.push('redis'); resolve() } }))
  shutdown.on('database', () => { order.push('database'); finish() })
  shutdown.on('outbound', async () => {
    await delay(5)
    order.push('outbound')
  })
  await shutdown.afterServer()
  t.same(order, ['outbound', 'database', 'redis'])
})

t.test('a part that hangs is left behind after its budget, with a warning, and so is one that fails', async t => {
  const { shutdown, warnings, order } = start()
  const failure = new Error('broken')
  shutdown.on('gateway', budgetMs => {
    t.equal(budgetMs, 500)
    return new Promise(() => {})
  })
  shutdown.on('outbound', () => { throw failure })
  shutdown.on('database', () => { order.push('database') })
  await shutdown.afterServer()
  t.match(warnings, [{ part: 'outbound', err: failure }, { part: 'gateway', budgetMs: 500 }])
  t.same(order, ['database'], 'what comes after it ends all the same')
})

t.test('a part without a budget is not waited for, and its failure is heard of', async t => {
  const { shutdown, warnings, order } = start()
  const failed = Promise.reject(new Error('late'))
  shutdown.on('connections', () => failed)
  shutdown.on('eventStreams', () => new Promise(() => {}))
  shutdown.on('leases', () => { order.push('leases') })
  await shutdown.beforeServer()
  await failed.catch(() => {})
  t.same(order, ['leases'])
  t.match(warnings, [{ part: 'connections' }])
})

t.test('runs under way get DRAIN_SECONDS, after which they are released without a warning', async t => {
  const { shutdown, warnings, order } = start(20)
  t.equal(shutdown.isDraining, false)
  shutdown.on('runs', drainMs => {
    t.equal(drainMs, 20)
    t.equal(shutdown.isDraining, true, 'no run begins any more')
    return new Promise(() => {})
  })
  shutdown.on('attempts', () => { order.push('attempts') })
  await shutdown.drain()
  await shutdown.beforeServer()
  t.same(order, ['attempts'])
  t.same(warnings, [])
})

t.test('a part that is registered twice is refused', async t => {
  const { shutdown } = start()
  shutdown.on('redis', () => {})
  t.throws(() => shutdown.on('redis', () => {}), /redis is registered twice/)
})
