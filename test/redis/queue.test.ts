import { randomUUID } from 'node:crypto'
import { Job } from 'bullmq'
import t, { type Test } from 'tap'
import type { Claim } from '#shared/database/runs.ts'
import { LocalQueue } from '../../src/executor/run/queue.js'
import { MemoryShare } from '../../src/lib/memory/memory-share.js'
import { Slots } from '../../src/lib/slots.js'
import type { ClaimRequest } from '../../src/redis/jobs/claims.js'
import { SharedQueue } from '../../src/redis/queue.js'
import { read } from '../executor/events/event-log-contract.js'
import { type Limits, type Stage, testQueue, TestRuns, toClaimed } from '../executor/run/queue-contract.js'
import { findRedis, type RedisServer, startRedis } from '../support/doubles/redis-server.js'
import { countCalls, joinReplica, type Replica } from '../support/replica.js'
import { until } from '../support/until.js'

interface Book { userId: string, attempt: number, owner?: Process, ended: boolean }

/** The database of all processes: which process owns a run. */
class Books {
  readonly runs = new Map<string, Book>()
  /** Whether the database is away. */
  isAway = false
  /** Called after a claim was refused because its user is busy, before the caller learns it. */
  whenBusy = async (): Promise<void> => {}
  /** A run whose claim makes its call fail. */
  refuses?: string
  /** Claims, and the calls in which they were made. */
  claims = 0
  calls = 0

  constructor (private readonly maxPerUser: number) {}

  async claimAll (requests: readonly ClaimRequest[], owner: Process): Promise<Record<string, Claim>> {
    this.calls++
    if (this.isAway || requests.some(({ runId }) => runId === this.refuses)) throw new Error('the database is away')
    return Object.fromEntries(await Promise.all(requests.map(async ({ runId }) => [runId, await this.#claim(runId, owner)])))
  }

  /** Whether a run of the user may begin at once. */
  mayBegin (userId: string): boolean {
    const isUnder = (user: string) => this.#owned(user).length < this.maxPerUser
    return isUnder(userId) && ![...this.runs.values()].some(one => !one.owner && !one.ended && isUnder(one.userId))
  }

  /** Whether a run of the user waits. */
  waits (userId: string): boolean {
    return [...this.runs.values()].some(one => one.userId === userId && !one.owner && !one.ended)
  }

  #owned (userId: string): Book[] {
    return [...this.runs.values()].filter(one => one.owner && one.userId === userId)
  }

  async #claim (runId: string, owner: Process): Promise<Claim> {
    this.claims++
    const book = this.runs.get(runId)!
    if (book.ended) return { refused: 'ended' }
    if (book.owner) return { refused: 'owned' }
    if (this.#owned(book.userId).length >= this.maxPerUser) {
      await this.whenBusy()
      return { refused: 'busy' }
    }
    book.owner = owner
    return { claimed: toClaimed(runId, book.userId, ++book.attempt) }
  }
}

interface Process extends Replica { queue: SharedQueue, local: LocalQueue, name: string }

/** Processes with one Redis and one database. */
class Fleet {
  readonly runs = new TestRuns()
  readonly books: Books
  readonly processes: Process[] = []

  constructor (private readonly t: Test, readonly server: RedisServer, private readonly limits: Limits) {
    this.books = new Books(limits.maxPerUser)
  }

  /** @param onConnect called when the process is connected to Redis, before its queue is created. */
  async join (name: string, onConnect = () => {}): Promise<Process> {
    const replica = await joinReplica(this.t, this.server)
    onConnect()
    const { link, streams, log } = replica
    const launcher = this.runs.createLauncher(log, name)
    const { launch } = launcher
    launcher.launch = async (assignment, ticket) => {
      const ending = await launch(assignment, ticket)
      const book = this.books.runs.get(assignment.run.runId)!
      book.owner = undefined
      book.ended = ending === 'settled'
      if (book.ended && this.books.waits(book.userId)) queue.promoteParked(book.userId)
      return ending
    }
    const slots = new Slots(this.limits)
    const local = new LocalQueue(name, { slots, memory: new MemoryShare(1e9) }, launcher, log, this.limits.maxConcurrent > 0)
    const queue: SharedQueue = new SharedQueue({
      link,
      connection: link.openConnection(),
      streams,
      slots,
      local,
      events: log,
      maxConcurrent: this.limits.maxConcurrent,
      maxPerUser: this.limits.maxPerUser,
      maxWaiting: this.limits.maxWaiting,
      claimRuns: requests => this.books.claimAll(requests, process),
      onCancel: runId => { launcher.cancel(runId) },
      log: { warn () {} }
    })
    const process: Process = { ...replica, queue, local, name }
    this.processes.push(process)
    this.t.teardown(() => queue.close())
    return process
  }

  /** Adds a run to the database. */
  begin (name: string): { runId: string, userId: string } {
    const [runId, userId] = [this.runs.idOf(name), name[0]!]
    this.books.runs.set(runId, { userId, attempt: 0, ended: false })
    return { runId, userId }
  }

  async enter (name: string, process: Process = this.processes[0]!): Promise<boolean> {
    const userId = name[0]!
    let admission = await process.queue.admit(userId)
    if (admission?.limits && !this.books.mayBegin(userId)) {
      admission.release()
      admission = await process.queue.admit(userId, true)
    }
    if (!admission) return false
    const { runId } = this.begin(name)
    if (admission.owner !== null) Object.assign(this.books.runs.get(runId)!, { owner: process, attempt: 1 })
    const { run, input, steps } = toClaimed(runId, userId)
    admission.accept({ ...input, run, userId, steps })
    const { client } = this.server
    const knows = async () => await client.exists(`jeesi:runs:${runId}`) === 1 || this.runs.launched.includes(name)
    await until(knows, isKnown => isKnown)
    return true
  }
}

const LIMITS = { maxConcurrent: 1, maxPerUser: 10, maxWaiting: 100 }

t.test('the queue of several processes', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const { client } = server

  async function setUp (t: Test, limits: Limits): Promise<Fleet> {
    await client.flushall()
    const fleet = new Fleet(t, server, limits)
    await fleet.join('here')
    return fleet
  }

  async function untilParked (count: number): Promise<void> {
    await until(() => client.zcard('jeesi:runs:delayed'), delayed => delayed === count)
  }

  t.test('with one process', t => testQueue(t, async (t, limits): Promise<Stage> => {
    const fleet = await setUp(t, limits)
    const [{ queue, log }] = fleet.processes as [Process]
    return { queue, log, runs: fleet.runs, enter: name => fleet.enter(name), untilParked }
  }))

  t.test('with a process without workers adds runs that another process executes', t => testQueue(t, async (t, limits): Promise<Stage> => {
    const fleet = await setUp(t, limits)
    const front = new Fleet(t, server, { ...limits, maxConcurrent: 0 })
    const { queue, log } = await front.join('front')
    return {
      queue,
      log,
      runs: fleet.runs,
      enter: name => fleet.enter(name, front.processes[0]),
      untilParked
    }
  }))

  t.test('limits the runs of a user over all processes, and continues with the next one at once', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 4, maxPerUser: 2 })
    const { runs } = fleet
    await fleet.join('there')
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']) await fleet.enter(name, fleet.processes[Number(name[1]) % 2])
    await fleet.enter('b1')
    await runs.untilLaunched(3)
    t.equal(runs.running.filter(name => name[0] === 'a').length, 2)
    await until(() => client.zcard('jeesi:parked:a'), count => count === 4)
    await until(() => client.zcard('jeesi:runs:delayed'), count => count === 4)
    for (let ended = 1; ended <= 4; ended++) {
      const since = Date.now()
      runs.end(runs.running.find(name => name[0] === 'a')!)
      await runs.untilLaunched(3 + ended)
      t.ok(Date.now() - since < 3_000, 'sooner than after the delay of its job')
      t.equal(runs.running.filter(name => name[0] === 'a').length, 2)
    }
    for (const name of runs.running) runs.end(name)
    await until(() => client.exists('jeesi:parked:a'), exists => exists === 0)
  })

  t.test('promotes a run whose turn came while it was being parked', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 2, maxPerUser: 1 })
    const { runs, books } = fleet
    await fleet.enter('a1')
    await runs.untilLaunched(1)
    books.whenBusy = async () => {
      if (await client.zcard('jeesi:parked:a') === 0) return
      runs.end('a1')
      // By now the end of a1 has promoted the parked runs.
      await until(() => client.exists(`jeesi:runs:${runs.idOf('a1')}`), exists => exists === 0)
    }
    const since = Date.now()
    await fleet.enter('a2')
    await runs.untilLaunched(2)
    t.ok(Date.now() - since < 3_000, 'sooner than after the delay of its job')
    runs.end('a2')
  })

  t.test('claims a run again, after a pause, if a full Redis does not let it be parked', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 2, maxPerUser: 1 })
    const { runs, books } = fleet
    t.teardown(() => client.config('SET', 'maxmemory', '0'))
    await fleet.enter('a1')
    await runs.untilLaunched(1)
    books.whenBusy = async () => { await client.config('SET', 'maxmemory', '1') }
    await fleet.enter('a2')
    const [since, { claims }] = [Date.now(), books]
    await until(async () => books.claims, now => now >= claims + 4)
    t.ok(Date.now() - since > 1_000, `four times in ${Date.now() - since} ms`)
    books.whenBusy = async () => {}
    await client.config('SET', 'maxmemory', '0')
    runs.end('a1')
    await runs.untilLaunched(2)
    runs.end('a2')
  })

  t.test('skips parked runs that no longer wait', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 3, maxPerUser: 1 })
    const { runs, books } = fleet
    for (const name of ['a1', 'a2', 'a3']) await fleet.enter(name)
    await until(() => client.zcard('jeesi:runs:delayed'), count => count === 2)
    await client.zadd('jeesi:parked:a', 1, randomUUID())
    const [gone, next] = ['a1', 'a2', 'a3'].filter(name => !runs.running.includes(name)) as [string, string]
    books.runs.get(runs.idOf(gone))!.ended = true
    const since = Date.now()
    runs.end(runs.running[0]!)
    await runs.untilLaunched(2)
    t.strictSame(runs.running, [next])
    t.ok(Date.now() - since < 6_000)
    t.ok(await client.pttl('jeesi:parked:a') <= 10_000)
    runs.end(next)
  })

  t.test('keeps the place of a run that is added again', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, processes: [here] } = fleet
    const runsOf = (names: string[]) => names.map(name => fleet.begin(name))
    await fleet.enter('x1')
    await runs.untilLaunched(1)
    const waiting = runsOf(['a1', 'a2', 'a3'])
    for (let time = 0; time < 10; time++) await here!.queue.restore(waiting)
    await here!.queue.restore(runsOf(['b1', 'b2', 'b3', 'b4']))
    await here!.queue.restore(waiting)
    await here!.queue.restore(runsOf(['a4']))
    await here!.queue.restore([{ runId: runs.idOf('x1'), userId: 'x' }])
    t.equal(await client.zcard('jeesi:runs:prioritized'), 9, 'with the one that is executed, whose job is dropped when its turn comes')
    t.strictSame(await runs.drain(8), ['a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'b4', 'a4'])
    await until(() => client.keys('jeesi:runs:*'), keys => !keys.some(key => /[0-9a-f]{8}-/.test(key)))
    t.equal(runs.launched.length, 9)
  })

  t.test('gives a run that one process releases to another', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, processes: [here] } = fleet
    await fleet.enter('a1')
    await runs.untilLaunched(1)
    t.equal(runs.makers.get('a1'), 'here')
    const there = await fleet.join('there')
    const { reader } = read(there.log, runs.idOf('a1'))
    await reader.until(({ seqs }) => seqs.length === 1)
    await here!.queue.stop()
    runs.end('a1', 'released')
    await here!.queue.close()
    // The lease of the process has ended.
    await there.queue.restore([{ runId: runs.idOf('a1'), userId: 'a' }])
    await runs.untilLaunched(2)
    t.equal(runs.makers.get('a1'), 'there')
    runs.end('a1')
    await reader.until(({ ends }) => ends > 0)
    t.match(reader.events.filter(({ type }) => type === 'started'), [{ attempt: 1 }, { attempt: 2 }])
  })

  t.test('executes a run where it begins, and adds no job, unless it has to wait', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxPerUser: 1 })
    const { runs } = fleet
    const there = await fleet.join('there')
    await fleet.enter('a1')
    await fleet.enter('b1', there)
    await runs.untilLaunched(2)
    t.strictSame(Object.fromEntries(runs.makers), { a1: 'here', b1: 'there' })
    t.equal(await client.exists('jeesi:runs:id'), 0, 'there was no job')
    await fleet.enter('a2', there)
    runs.end('b1')
    await until(() => client.zcard('jeesi:parked:a'), count => count === 1)
    t.strictSame(runs.running, ['a1'])
    runs.end('a1')
    await runs.untilLaunched(3)
    runs.end('a2')
  })

  t.test('takes as many runs at a time as it has slots, and claims them together', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 16 })
    const { runs, books, processes: [here] } = fleet
    const names = Array.from({ length: 40 }, (_, index) => `${'abcd'[index % 4]}${index}`)
    await here!.queue.restore(names.map(name => fleet.begin(name)))
    await runs.untilLaunched(16)
    t.ok(books.calls <= 8, `${books.calls} calls for 16 runs`)
    t.equal(runs.running.length, 16)
    while (runs.launched.length < 40) {
      const { length } = runs.launched
      for (const name of runs.running) runs.end(name)
      await runs.untilLaunched(Math.min(40, length + 16))
      t.ok(runs.running.length <= 16)
    }
    t.strictSame([...runs.launched].sort(), [...names].sort())
    for (const name of runs.running) runs.end(name)
    await until(() => client.keys('jeesi:runs:*'), keys => !keys.some(key => /[0-9a-f]{8}-/.test(key)))
    t.equal(books.claims, 40)
  })

  t.test('leaves a run in the queue, at its place, while runs that began here have all slots', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, books, processes: [here] } = fleet
    await until(() => blocked(server), count => count === 2)
    await fleet.enter('x1')
    await runs.untilLaunched(1)
    await here!.queue.restore(['a1', 'b1', 'a2'].map(name => fleet.begin(name)))
    // The process was waiting for a job, takes one, and gives it back.
    await until(async () => (await client.hget(`jeesi:runs:${runs.idOf('a1')}`, 'ats')) === '1' && await client.zcard('jeesi:runs:prioritized') === 3, isBack => isBack)
    t.strictSame([books.claims, await client.zcard('jeesi:runs:delayed')], [0, 0])
    t.strictSame(await runs.drain(3), ['a1', 'b1', 'a2'])
  })

  t.test('claims the others if the claim of one fails', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 16 })
    const { runs, books, processes: [here] } = fleet
    const bad = fleet.begin('b1')
    books.refuses = bad.runId
    await here!.queue.restore([...['a1', 'a2', 'a3', 'a4', 'a5'].map(name => fleet.begin(name)), bad])
    await runs.untilLaunched(5)
    t.strictSame(runs.running, ['a1', 'a2', 'a3', 'a4', 'a5'])
    books.refuses = undefined
    await runs.untilLaunched(6)
    for (const name of runs.running) runs.end(name)
  })

  t.test('takes no more runs once it has stopped, and leaves new ones to other processes', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, processes: [here] } = fleet
    await until(() => blocked(server), count => count === 2)
    await here!.queue.stop()
    await fleet.enter('a1')
    await fleet.enter('a2')
    const since = Date.now()
    await fleet.join('there')
    await runs.untilLaunched(1)
    runs.end(runs.running[0]!)
    await runs.untilLaunched(2)
    t.ok(Date.now() - since < 3_000, 'the run is not held by the stopped process')
    t.strictSame([...runs.makers.values()], ['there', 'there'])
    runs.end(runs.running[0]!)
  })

  t.test('drops a job if its run has ended or has an owner', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, books, processes: [here] } = fleet
    const [ended, owned] = [fleet.begin('a1'), fleet.begin('a2')]
    books.runs.get(ended.runId)!.ended = true
    books.runs.get(owned.runId)!.owner = {} as Process
    await here!.queue.restore([ended, owned, fleet.begin('b1')])
    await runs.untilLaunched(1)
    runs.end('b1')
    await until(() => client.keys('jeesi:runs:*'), keys => !keys.some(key => /[0-9a-f]{8}-/.test(key)))
    t.strictSame([runs.launched, books.claims], [['b1'], 3])
  })

  t.test('claims again after the database was away', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, books, processes: [here] } = fleet
    books.isAway = true
    await here!.queue.restore([fleet.begin('a1')])
    await until(async () => books.calls, calls => calls >= 2)
    books.isAway = false
    await runs.untilLaunched(1)
    runs.end('a1')
  })

  t.test('tells a run its place although its job reaches Redis late, or is held by a process without a slot when first looked for', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, processes: [here] } = fleet
    await fleet.enter('a1')
    await runs.untilLaunched(1)
    // Redis takes what it is told in the order of its arrival, so that a look at places comes before the job.
    await client.call('CLIENT', 'PAUSE', '1200', 'WRITE')
    await fleet.enter('a2')
    const placeOf = (name: string) => here!.log.readLatest(runs.idOf(name))
    const isTold = async (name: string, position: number) => t.match(await until(() => placeOf(name), events => events.length > 0), [{ event: { type: 'queued', position } }])
    await isTold('a2', 1)

    await fleet.enter('a3')
    await isTold('a3', 2)
    await fleet.enter('b1')
    const score = await client.zscore('jeesi:runs:prioritized', runs.idOf('b1'))
    t.equal(await client.zrem('jeesi:runs:prioritized', runs.idOf('b1')), 1)
    t.same(await placeOf('b1'), [], 'it was taken before anybody looked')
    const looks = await countCalls(client, 'zrank')
    await until(() => countCalls(client, 'zrank'), count => count >= looks + 3)
    await client.zadd('jeesi:runs:prioritized', score!, runs.idOf('b1'))
    await isTold('b1', 2)
    runs.end('a1')
  })

  t.test('goes on telling a run its place that was parked meanwhile, for however long', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 2, maxPerUser: 1 })
    const { runs, processes: [here] } = fleet
    for (const name of ['a1', 'a2']) await fleet.enter(name)
    await untilParked(1)
    const looks = await countCalls(client, 'zrank')
    await until(() => countCalls(client, 'zrank'), count => count >= looks + 6)
    for (const name of ['b1', 'c1']) await fleet.enter(name)
    await runs.untilLaunched(2)
    await here!.queue.promoteParked('a')
    const told = await until(() => here!.log.readLatest(runs.idOf('a2')), events => events.length > 0)
    t.match(told[0], { event: { type: 'queued' } })
    for (const name of runs.running) runs.end(name)
    await runs.untilLaunched(4)
    for (const name of runs.running) runs.end(name)
  })

  t.test('places are told after the end of the process where a run began, by the one where it is read, and each but once', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, processes: [here] } = fleet
    const there = new Fleet(t, server, { ...LIMITS, maxConcurrent: 0 })
    const front = new Fleet(t, server, { ...LIMITS, maxConcurrent: 0 })
    const processes = [await there.join('there'), await front.join('front')]
    await fleet.enter('a1')
    await runs.untilLaunched(1)
    const entry = processes[0]!.queue
    for (const name of ['a2', 'a3']) {
      const { runId } = fleet.begin(name)
      await entry.restore([{ runId, userId: 'a' }])
      // As one that began there.
      await client.hset(`jeesi:runs:${runId}`, 'data', JSON.stringify({ ...JSON.parse((await client.hget(`jeesi:runs:${runId}`, 'data'))!), isAgain: undefined }))
      for (const { queue } of processes) queue.watchPlace(runId)
    }
    const placesOf = async (name: string) => (await here!.log.readLatest(runs.idOf(name))).map(({ event }) => event.type === 'queued' && event.position)
    await until(() => placesOf('a3'), places => places.length > 0)
    const looks = await countCalls(client, 'zrank')
    await until(() => countCalls(client, 'zrank'), count => count >= looks + 4)
    t.same([await placesOf('a2'), await placesOf('a3')], [[1], [2]])
    await entry.close()
    runs.end('a1')
    await runs.untilLaunched(2)
    await until(() => placesOf('a3'), places => places.length > 1)
    t.same(await placesOf('a3'), [2, 1])
    for (const name of ['a2', 'a3']) {
      await until(async () => runs.running, running => running.includes(name))
      runs.end(name)
    }
  })

  t.test('a run that comes to a process without a slot goes on to one that has one, which is asleep', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, processes: [here] } = fleet
    const sleepers = async () => String(await client.call('CLIENT', 'LIST')).split('\n').filter(line => / flags=b .* cmd=bzpopmin /.test(line)).length
    await until(sleepers, count => count === 1)
    const { runId } = fleet.begin('a1')
    const { run, input, steps } = toClaimed(runId, 'a')
    here!.local.admitNow('a')!.accept({ ...input, run, userId: 'a', steps })
    await runs.untilLaunched(1)
    await fleet.join('there')
    await until(sleepers, count => count === 2)
    const front = new Fleet(t, server, { ...LIMITS, maxConcurrent: 0 })
    await front.join('front')
    fleet.books.runs.set(runs.idOf('b1'), { userId: 'b', attempt: 0, ended: false })
    // The one that has waited for longest is woken; the other has found nothing and sleeps again before the run comes back.
    const { moveToWait } = Job.prototype
    t.intercept(Job.prototype, 'moveToWait', {
      async value (this: Job, ...args: Parameters<typeof moveToWait>) {
        await until(async () => await sleepers() === 1 && await client.exists('jeesi:runs:marker') === 0, isAsleep => isAsleep)
        return moveToWait.apply(this, args)
      }
    })
    const since = Date.now()
    await front.processes[0]!.queue.restore([{ runId: runs.idOf('b1'), userId: 'b' }])
    await runs.untilLaunched(2)
    t.ok(Date.now() - since < 4_000, 'and not when that wakes by itself, after five seconds')
    for (const name of runs.running) runs.end(name)
  })

  t.test('begins a run anew that has waited for longer than Redis keeps its places: numbers of events would be used twice', async t => {
    const fleet = await setUp(t, LIMITS)
    const { runs, books } = fleet
    const asked: ClaimRequest[] = []
    t.intercept(books, 'claimAll', {
      value (requests: readonly ClaimRequest[], owner: Process) {
        asked.push(...requests)
        return Books.prototype.claimAll.call(books, requests, owner)
      }
    })
    for (const name of ['a1', 'a2', 'a3']) await fleet.enter(name)
    const key = `jeesi:runs:${runs.idOf('a2')}`
    const data = JSON.parse((await client.hget(key, 'data'))!) as { at: number }
    await client.hset(key, 'data', JSON.stringify({ ...data, at: data.at - 3_601_000 }))
    for (const name of ['a1', 'a2', 'a3']) {
      await until(async () => runs.running, running => running.includes(name))
      runs.end(name)
    }
    t.same(asked.map(({ runId, isAgain }) => [runId, isAgain]), [[runs.idOf('a2'), true], [runs.idOf('a3'), false]])
  })

  t.test('passes requests to cancel on to the other processes', async t => {
    const fleet = await setUp(t, LIMITS)
    const there = await fleet.join('there')
    const names = Array.from({ length: 20 }, (_, index) => `a${index}`)
    for (const name of names) there.queue.cancel(fleet.runs.idOf(name))
    await until(async () => fleet.runs.cancelled, ids => ids.length >= 2 * names.length)
    t.strictSame(new Set(fleet.runs.cancelled), new Set(names.map(name => fleet.runs.idOf(name))))
  })

  t.test('uses the local queue while Redis is away', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxWaiting: 1 })
    const { runs, processes: [here] } = fleet
    await server.stop('SIGKILL')
    await until(async () => here!.link.isUp, isUp => !isUp)
    const admission = await here!.queue.admit('a')
    t.equal(admission?.owner, 'here')
    const { run, input, steps } = toClaimed(fleet.begin('a1').runId, 'a')
    admission!.accept({ ...input, run, userId: 'a', steps })
    await runs.untilLaunched(1)
    await t.rejects(here!.queue.restore([fleet.begin('a2')]), /Redis is away/)
    here!.queue.cancel(randomUUID())
    const waits = await here!.queue.admit('b')
    t.equal(waits?.waits, true)
    t.equal(await here!.queue.admit('b'), undefined, 'the local queue is full as well')
    waits!.release()
    await server.start()
    await until(async () => here!.link.isUp, isUp => isUp)
    t.match(await here!.queue.admit('b'), { owner: null })
    runs.end('a1')
  })

  t.test('continues after Redis has lost its data', async t => {
    const fleet = await setUp(t, { ...LIMITS, maxConcurrent: 2 })
    const { runs, processes: [here] } = fleet
    for (const name of ['a1', 'a2', 'a3', 'a4']) await fleet.enter(name)
    await runs.untilLaunched(2)
    await server.stop('SIGKILL')
    await until(async () => here!.link.isUp, isUp => !isUp)
    await server.start()
    await until(async () => here!.link.isUp, isUp => isUp)
    const put = () => here!.queue.restore(['a3', 'a4'].map(name => ({ runId: runs.idOf(name), userId: 'a' })))
    await put()
    for (const name of ['a1', 'a2']) runs.end(name)
    await runs.untilLaunched(4)
    for (const name of ['a3', 'a4']) runs.end(name)
    await put()
    await fleet.enter('b1')
    await runs.untilLaunched(5)
    t.strictSame(runs.launched, ['a1', 'a2', 'a3', 'a4', 'b1'])
    runs.end('b1')
  })
})

t.test('a closed queue leaves no connection behind', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const fleet = new Fleet(t, server, LIMITS)
  const here = await fleet.join('here')
  await fleet.enter('a1')
  await fleet.runs.untilLaunched(1)
  t.ok(await connections(server) > 1)
  await here.queue.stop()
  fleet.runs.end('a1')
  await here.queue.close()
  here.close()
  await until(() => connections(server), count => count === 1)
})

t.test('a queue closes in time while Redis is away, and writes nothing to the console', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const fleet = new Fleet(t, server, LIMITS)
  const here = await fleet.join('here')
  await fleet.enter('a1')
  await fleet.runs.untilLaunched(1)
  const written: unknown[] = []
  for (const method of ['error', 'warn', 'log'] as const) t.intercept(console, method, { value: (...args: unknown[]) => { written.push(args) } })
  await server.stop('SIGKILL')
  await until(async () => here.link.isUp, isUp => !isUp)
  const since = Date.now()
  await here.queue.stop()
  fleet.runs.end('a1', 'released')
  await here.queue.close()
  here.close()
  t.ok(Date.now() - since < 4_000)
  await server.start()
  for (let time = 0; time < 50; time++) await server.client.ping()
  await until(() => connections(server), count => count === 1)
  t.strictSame(written, [])
})

t.test('a closed queue leaves no timers behind if Redis stopped answering before the worker was ready', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const fleet = new Fleet(t, server, LIMITS)
  const timers = async () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  // The timers of earlier tests' sockets may still run.
  await until(timers, count => count === 0)
  const here = await fleet.join('here', () => { server.process.kill('SIGSTOP') })
  for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
  t.ok(here.link.isUp, 'the link does not know yet')
  await here.queue.close()
  here.close()
  await until(timers, count => count === 0)
})

async function blocked ({ client }: RedisServer): Promise<number> {
  return String(await client.client('LIST')).split('\n').filter(line => /flags=b/.test(line)).length
}

async function connections ({ client }: RedisServer): Promise<number> {
  return String(await client.client('LIST')).trim().split('\n').length
}
