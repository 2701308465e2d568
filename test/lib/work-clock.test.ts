import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startWorkClock } from '../../src/lib/work-clock.js'

t.test('a clock of work stands while the process has nothing to do, and goes while it works', async t => {
  const worked = startWorkClock()
  await delay(1000)
  const before = worked()
  t.ok(before < 500, `${before} ms of a second`)
  const { user } = process.cpuUsage()
  while (process.cpuUsage().user - user < 100_000);
  t.ok(worked() - before >= 99, `${worked() - before} ms of work`)
})

t.test('it never goes faster than the one on the wall', async t => {
  const startedAt = performance.now()
  const worked = startWorkClock()
  while (performance.now() - startedAt < 50);
  t.ok(worked() <= performance.now() - startedAt)
})
