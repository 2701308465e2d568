import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import type { Database } from '../../../src/database/port.js'
import { openEmbedded } from '../../../src/database/embedded.js'
import type { Executor } from '../../../src/executor/run/executor.js'
import { LeaseKeeper } from '../../../src/executor/run/lease-keeper.js'
import { MemoryShare } from '../../../src/lib/memory/memory-share.js'
import { Slots } from '../../../src/lib/slots.js'
import { createDataDir, DEMO_AGENT, DEMO_USER } from '../../support/helper.js'

/** A process beside a database, whose seconds the test counts, and what it asks of the database. */
function createProcess (database: Database, clock: { now: number }, options: { mayBeQuiet?: boolean, maxConcurrent?: number } = {}) {
  const calls: Array<{ fn: string, at: number }> = []
  const executor = { size: 0, attempts: new Map(), cancel () {}, abandon () {} }
  const claimed: string[] = []
  const keeper = new LeaseKeeper({
    owner: randomUUID(),
    database: {
      call (fn, ...args) {
        calls.push({ fn, at: clock.now })
        return database.call(fn, ...args)
      }
    },
    executor: executor as unknown as Executor,
    events: {} as never,
    slots: new Slots({ maxConcurrent: 10, maxPerUser: 10, maxWaiting: 10 }),
    memory: new MemoryShare(1e9),
    queue: { launchClaimed: async ({ run }: { run: { runId: string } }) => { claimed.push(run.runId) } } as never,
    maxConcurrent: 10,
    mayBeQuiet: true,
    isDraining: () => false,
    hasPython: async () => false,
    log: { info () {}, warn () {} },
    now: () => clock.now,
    ...options
  })
  return { keeper, executor, calls, claimed }
}

type Process = ReturnType<typeof createProcess>

/** So many seconds pass, with the round of each process in each of them. */
async function pass (clock: { now: number }, seconds: number, ...processes: Process[]): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    for (const { keeper } of processes) await keeper.renew()
    clock.now += 1_000
  }
}

async function openDatabase (t: Test): Promise<Database> {
  const database = await openEmbedded(await createDataDir(t))
  t.teardown(() => database.close())
  return database
}

/** A run that a process began and left behind: its lease has ended. */
async function leaveBehind (database: Database): Promise<string> {
  const { run } = await database.call('begin_run', {
    p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: randomUUID(), p_lease_seconds: -1
  })
  return run.runId
}

t.test('a process that is alone and has nothing to do asks a few times after its start, and then once in ten minutes', async t => {
  const database = await openDatabase(t)
  const clock = { now: 1_000_000_000_000 }
  const alone = createProcess(database, clock)
  await pass(clock, 30, alone)
  t.same(alone.calls.map(({ fn }) => fn), ['claim_runs', 'claim_runs', 'claim_runs'])
  await pass(clock, 570, alone)
  t.equal(alone.calls.length, 3)
  const left = await leaveBehind(database)
  await pass(clock, 40, alone)
  t.same(alone.claimed, [left], 'what was left behind is found by then')
})

t.test('a request wakes it at once, and its own runs keep it awake', async t => {
  const database = await openDatabase(t)
  const clock = { now: 1_000_000_000_000 }
  const alone = createProcess(database, clock)
  await pass(clock, 60, alone)
  const left = await leaveBehind(database)
  alone.keeper.wake()
  await pass(clock, 1, alone)
  t.same(alone.claimed, [left])

  await database.call('finish_run', { p_run_id: left, p_attempt: 2, p_status: 'failed', p_response: '', p_finish_reason: null, p_usage: null, p_credits: 0, p_model: null, p_error: null })
  await pass(clock, 60, alone)
  alone.calls.length = 0
  alone.executor.size = 1
  await pass(clock, 10, alone)
  t.equal(alone.calls.filter(({ fn }) => fn === 'heartbeat_worker').length, 10)
  t.ok(alone.calls.some(({ fn }) => fn === 'claim_runs'))
  alone.executor.size = 0
  await pass(clock, 10, alone)
  alone.calls.length = 0
  await pass(clock, 500, alone)
  t.same(alone.calls, [])
})

t.test('where another process is known to live nobody is quiet, so that its runs are taken over as soon as ever', async t => {
  const database = await openDatabase(t)
  const clock = { now: 1_000_000_000_000 }
  const first = createProcess(database, clock)
  await pass(clock, 60, first)
  const second = createProcess(database, clock)
  await pass(clock, 600, first, second)
  t.ok(second.calls.length > 300, 'the second has seen the first at once, though that is quiet')
  first.calls.length = second.calls.length = 0
  await pass(clock, 150, first, second)
  for (const process of [first, second]) t.ok(process.calls.length >= 10, 'every 15 seconds at the least')
  const left = await leaveBehind(database)
  await pass(clock, 16, first, second)
  t.same([...first.claimed, ...second.claimed], [left])
})

t.test('a process that no request reaches is never quiet, and one that makes no runs shows that it lives', async t => {
  const database = await openDatabase(t)
  const clock = { now: 1_000_000_000_000 }
  const worker = createProcess(database, clock, { mayBeQuiet: false })
  await pass(clock, 400, worker)
  worker.calls.length = 0
  await pass(clock, 60, worker)
  t.equal(worker.calls.length, 4)

  const web = createProcess(database, clock, { maxConcurrent: 0 })
  const left = await leaveBehind(database)
  await pass(clock, 1, web)
  t.same(web.claimed, [])
  const other = createProcess(database, clock)
  await pass(clock, 1, other)
  t.same(other.claimed, [left])
  await database.call('finish_run', { p_run_id: left, p_attempt: 2, p_status: 'failed', p_response: '', p_finish_reason: null, p_usage: null, p_credits: 0, p_model: null, p_error: null })
  other.calls.length = 0
  await pass(clock, 330, other)
  t.ok(other.calls.length > 250, 'others know of it')
})
