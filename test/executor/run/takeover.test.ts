import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { ClaimedRun } from '#shared/database/runs.ts'
import { LeaseKeeper } from '../../../src/executor/run/lease-keeper.js'
import { MemoryShare } from '../../../src/lib/memory/memory-share.js'
import { Slots } from '../../../src/lib/slots.js'
import { toClaimed } from './queue-contract.js'

t.test('a run that cannot be made is noted and rests, and the others of the batch are made', async t => {
  const [bad, first, last] = [randomUUID(), randomUUID(), randomUUID()]
  const made: string[] = []
  const rested: object[] = []
  const keeper = new LeaseKeeper({
    owner: randomUUID(),
    database: {
      async call (fn: string, args: object) {
        if (fn === 'claim_runs') return { claimed: [first, bad, last].map(runId => toClaimed(runId, 'user')), outstanding: true, others: true }
        if (fn === 'rest_run') rested.push(args)
        return {}
      }
    } as never,
    executor: { size: 0 } as never,
    events: {} as never,
    memory: new MemoryShare(1e9),
    slots: new Slots({ maxConcurrent: 10, maxPerUser: 10, maxWaiting: 10 }),
    queue: {
      async launchClaimed ({ run: { runId } }: ClaimedRun) { made.push(runId) }
    } as never,
    maxConcurrent: 10,
    mayBeQuiet: false,
    isDraining: () => false,
    hasPython: async () => false,
    log: { info (fields: { runId: string }) { if (fields.runId === bad) throw new TypeError('the input is no object') }, warn () {} } as never
  })
  await keeper.renew()
  t.same(made, [first, last])
  t.same(rested, [{ p_run_id: bad, p_reason: 'It could not be made: TypeError: the input is no object' }])
})
