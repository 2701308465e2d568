import t from 'tap'
import { MemoryEventLog } from '../../../src/executor/events/memory-event-log.js'
import { LocalQueue } from '../../../src/executor/run/queue.js'
import { MemoryShare } from '../../../src/lib/memory/memory-share.js'
import { Slots } from '../../../src/lib/slots.js'
import { type Limits, type Stage, testQueue, TestRuns, toClaimed } from './queue-contract.js'

async function setUp (t: { teardown (end: () => void): void }, limits: Limits, hasWorkers = true): Promise<Stage> {
  const log = new MemoryEventLog({ maxBytes: 1024 * 1024, keepMs: 60_000 })
  t.teardown(() => log.close())
  const runs = new TestRuns()
  const queue = new LocalQueue('here', { slots: new Slots(limits), memory: new MemoryShare(1e9) }, runs.createLauncher(log), log, hasWorkers)
  return {
    queue,
    runs,
    log,
    async enter (name) {
      const userId = name[0]!
      const admission = await queue.admit(userId)
      const { run, input, steps } = toClaimed(runs.idOf(name), userId)
      admission?.accept({ ...input, run, userId, steps })
      return admission !== undefined
    }
  }
}

t.test('the queue of one process', t => testQueue(t, setUp))

t.test('a process without workers leaves any number of runs to other processes', async t => {
  const { queue, runs, enter } = await setUp(t, { maxConcurrent: 0, maxPerUser: 1, maxWaiting: 0 }, false)
  t.match(await queue.admit('a'), { owner: null, waits: true })
  t.strictSame([await enter('a1'), await enter('a2')], [true, true])
  t.strictSame(runs.launched, [])
})

t.test('a claimed run is queued however full the queue is, and cancelled if that was requested', async t => {
  const { queue, runs, log, enter } = await setUp(t, { maxConcurrent: 1, maxPerUser: 1, maxWaiting: 0 })
  await enter('a1')
  await runs.untilLaunched(1)
  t.equal(await enter('b1'), false)
  const local = queue as LocalQueue
  const runId = runs.idOf('c1')
  const ended = local.launchClaimed({ ...toClaimed(runId, 'c', 2), cancel: true }, [{ type: 'queued', runId, position: 7 }])
  t.strictSame(runs.cancelled, [runId])
  runs.end('a1')
  await runs.untilLaunched(2)
  runs.end('c1')
  t.equal(await ended, 'settled')
  t.match(log.entries(runId).map(({ event }) => event), [{ position: 7 }, { position: 1 }, { type: 'started', attempt: 2 }, { type: 'done' }])
})
