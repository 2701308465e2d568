import t from 'tap'
import type { ListedSchedules } from '../../src/database/functions/schedules.js'
import type { MonitoredDatabase } from '../../src/database/monitored-database.js'
import type { Deliveries } from '../../src/schedules/deliveries.js'
import type { Scheduler } from '../../src/schedules/scheduler.js'
import { Schedules } from '../../src/schedules/schedules.js'

const NOTHING: ListedSchedules = { now: '2026-01-01T00:00:00.000Z', timed: [], unplanned: [], isScheduled: false, leftAt: null }

/** Schedules whose seconds the test counts, beside a database that answers with `listed`. */
function open () {
  const state = { now: 1_000_000, listed: NOTHING, isBusy: false, calls: 0, tasks: [] as string[] }
  const note = (name: string) => async () => { state.tasks.push(name) }
  const schedules = new Schedules({
    database: { call: async () => { state.calls++; return state.listed } } as unknown as MonitoredDatabase,
    scheduler: { plan: note('plan'), takeUp: note('takeUp'), fire: note('fire'), close: note('close') } as unknown as Scheduler,
    deliveries: { look: note('deliver'), isBusy: false, close: note('close') } as unknown as Deliveries,
    isShared: () => false,
    isDraining: () => false,
    isBusy: () => state.isBusy,
    log: { warn () {} },
    now: () => state.now
  })
  const pass = async (seconds: number) => {
    state.calls = 0
    for (let second = 0; second < seconds; second++) {
      await schedules.tick()
      state.now += 1_000
    }
    return state.calls
  }
  return { schedules, state, pass }
}

t.test('where nothing is scheduled schedules are looked at every ten minutes, and at a request', async t => {
  const { schedules, state, pass } = open()
  t.equal(await pass(600), 1)
  t.equal(await pass(600), 1)
  schedules.wake()
  t.equal(await pass(1), 1)
  schedules.wake()
  t.equal(await pass(4), 0, 'not at each of many requests')
  t.same(state.tasks, [], 'and nothing is asked for beyond that')
})

t.test('where schedules are on it is a call a minute, and more beside runs and where something is left to do', async t => {
  const { state, pass } = open()
  state.listed = { ...NOTHING, isScheduled: true }
  t.equal(await pass(600), 10)
  state.isBusy = true
  t.equal(await pass(60), 12)
  state.isBusy = false
  t.equal(await pass(60), 1, 'what a run has left is seen soon after its end')
  state.listed = { ...NOTHING, leftAt: '2026-01-01T00:00:20.000Z' }
  await pass(60)
  t.same(state.tasks, [])
  t.equal(await pass(60), 3, 'at the time for which something was left')
  state.listed = { ...NOTHING, leftAt: NOTHING.now }
  await pass(20)
  t.same(new Set(state.tasks), new Set(['takeUp', 'deliver']))
})
