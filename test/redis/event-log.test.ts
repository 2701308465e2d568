import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { beginning, responseOf } from '#shared/trace.ts'
import { SharedEventLog } from '../../src/redis/event-log.js'
import { inboxKey, streamKey } from '../../src/redis/keys.js'
import { type Told, toPart, type Want } from '../../src/redis/readers/messages.js'
import { defineScripts } from '../../src/redis/scripts/scripts.js'
import { chunk, DONE, read, testEventLog, TestReader } from '../executor/events/event-log-contract.js'
import { findRedis, type RedisServer, startRedis } from '../support/doubles/redis-server.js'
import { textOf } from '../support/helper.js'
import { countCalls, eavesdrop, joinReplica, registryOf } from '../support/replica.js'
import { until } from '../support/until.js'

const END: RunEvent = { ...DONE, response: 'the end' }

function textOfReader ({ seqs, events }: TestReader): string {
  return textOf(events.map((event, index) => ({ ...event, seq: seqs[index]! })))
}

t.test('the log of a process with Redis', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const { client } = server
  const [here, there] = [await joinReplica(t, server), await joinReplica(t, server)]

  t.test('fulfils the contract of an event log', async t => {
    const { link, streams } = await joinReplica(t, server)
    await testEventLog(t, t => {
      const log = new SharedEventLog(link, streams, { owner: randomUUID(), registry: registryOf(server), maxBytes: 1024 * 1024, keepMs: 60_000 })
      t.teardown(() => log.close())
      return log
    }, 100)
  })

  t.test('delivers every event to readers at other processes, unchanged, from any cursor, and the end once', async t => {
    const runId = randomUUID()
    const early = read(there.log, runId).reader
    here.log.open(runId, 1)
    const backlog: RunEvent[] = [...beginning(runId, 'agent', 1), chunk('Grüße \u2028 "and"\n'), chunk('🚀'), { type: 'tool_call', id: '1', name: 'f', arguments: { a: [1, null] } } as RunEvent]
    for (const event of backlog) here.log.append(runId, event)
    await early.until(({ seqs }) => seqs.length === backlog.length)
    const late = [0, 1, 3].map(after => read(there.log, runId, after).reader)
    const live = [chunk('more'), END]
    for (const event of live) here.log.append(runId, event)
    await Promise.all([early, ...late].map(reader => reader.until(({ ends }) => ends > 0)))
    t.strictSame(early.events, [...backlog, ...live])
    t.strictSame(early.seqs, [1, 2, 3, 4, 5, 6])
    t.strictSame(late.map(({ seqs }) => seqs[0]), [1, 2, 4])
    t.strictSame(late.map(({ events }) => events.length), [6, 5, 3])
    t.match(read(there.log, runId, 6).reader, { ends: 1, seqs: [] }, 'a reader that has read the end')
    const { log } = await joinReplica(t, server)
    const latest = read(log, runId, 2).reader
    await latest.until(({ ends }) => ends > 0)
    t.strictSame(latest.seqs, [3, 4, 5, 6], 'a reader that comes after the end, at another process')
    t.equal([early, ...late, latest].every(({ ends }) => ends === 1), true)
    t.strictSame([there.log.remoteRuns(), log.remoteRuns()], [[], []])
  })

  t.test('delivers the same to all readers in any history of readers and attempts', async t => {
    const operation = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('append' as const), text: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const), again: fc.nat() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave' as const), who: fc.nat() }) },
      { weight: 1, arbitrary: fc.constant({ kind: 'attempt' as const }) },
      { weight: 2, arbitrary: fc.constant({ kind: 'pause' as const }) }
    )
    await t.resolves(fc.assert(fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async operations => {
      const runId = randomUUID()
      let [maker, other] = [here, there]
      let attempt = 0
      let truth = ''
      const begin = () => {
        if (attempt > 0) maker.log.evict(runId)
        ;[maker, other] = [other, maker]
        attempt++
        truth = ''
        maker.log.open(runId, attempt)
        for (const event of beginning(runId, 'agent', attempt)) maker.log.append(runId, event)
      }
      const readers: TestReader[] = []
      const present: Array<ReturnType<typeof read>> = []
      const join = (seen: TestReader = new TestReader()) => {
        // The reader resumes at the process that does not execute the run, after the last event it has read.
        const { reader, follower } = read(other.log, runId, seen.seqs.at(-1) ?? 0)
        reader.seqs.push(...seen.seqs)
        reader.events.push(...seen.events)
        present.push({ reader, follower })
      }
      begin()
      for (const operation of operations) {
        if (operation.kind === 'append') {
          truth += operation.text
          maker.log.append(runId, chunk(operation.text))
        }
        if (operation.kind === 'join') join(readers.splice(operation.again, 1)[0])
        if (operation.kind === 'leave' && present.length > 0) {
          const [gone] = present.splice(operation.who % present.length, 1)
          gone!.follower.stop()
          readers.push(gone!.reader)
        }
        if (operation.kind === 'attempt') {
          // The process that had the readers executes the next attempt: all readers move to the other one.
          for (const { reader, follower } of present.splice(0)) {
            follower.stop()
            readers.push(reader)
          }
          begin()
        }
        if (operation.kind === 'pause') await client.ping()
      }
      for (const reader of readers) join(reader)
      join()
      maker.log.append(runId, END)
      for (const { reader } of present) {
        await reader.until(({ ends, lostAfter }) => ends > 0 || lostAfter !== undefined)
        if (textOfReader(reader) !== truth || reader.ends !== 1) throw new Error(`${textOfReader(reader)} instead of ${truth}, ${reader.seqs}`)
      }
    }), { numRuns: 60 }))
  })

  t.test('what nobody reads elsewhere crosses nothing, and what is read does until nobody reads it any more', async t => {
    const heard = await eavesdrop(t, server)
    const runId = randomUUID()
    here.log.open(runId, 1)
    for (let index = 0; index < 1000; index++) here.log.append(runId, chunk())
    const near = read(here.log, runId).reader
    await near.until(({ seqs }) => seqs.length === 1000)
    await pause(50)
    t.strictSame([heard.of(runId), await client.keys('jeesi:run:*')], [[], []])
    const { reader, follower } = read(there.log, runId)
    await reader.until(({ seqs }) => seqs.length === 1000)
    t.ok(heard.of(runId).length > 0)
    follower.stop()
    // The reader's process says so in the same tick, and nothing is sent once that has arrived.
    await until(async () => heard.of(runId).some(text => text.includes('"drop":["')), isSaid => isSaid)
    await pause(50)
    const before = heard.of(runId).length
    here.log.append(runId, chunk('unheard'))
    here.log.append(runId, END)
    await near.until(({ ends }) => ends > 0)
    await pause(50)
    t.equal(heard.of(runId).length, before)
    t.strictSame(await client.keys('jeesi:run:*'), [])
  })

  t.test('a process that is killed is forgotten, with all that it wanted', async t => {
    const reading = await joinReplica(t, server)
    const runId = randomUUID()
    here.log.open(runId, 1)
    here.log.append(runId, chunk())
    await read(reading.log, runId).reader.until(({ seqs }) => seqs.length === 1)
    const heard = await eavesdrop(t, server)
    // Its connections end, and it says nothing more.
    reading.link.close()
    await until(() => client.pubsub('NUMSUB', inboxKey(reading.name)), ([, count]) => count === 0)
    here.log.append(runId, chunk('to nobody'))
    await until(async () => heard.of(runId), texts => texts.length > 0)
    await pause(50)
    const before = heard.of(runId).length
    for (let index = 0; index < 10; index++) here.log.append(runId, chunk('unheard'))
    await pause(50)
    t.equal(heard.of(runId).length, before, 'Redis says that nobody listens')
  })

  t.test('a want that is not repeated is forgotten after three seconds', async t => {
    const heard = await eavesdrop(t, server)
    const runId = randomUUID()
    const name = randomUUID()
    here.log.open(runId, 1)
    here.log.append(runId, chunk('first'))
    const inbox = await listen(t, server, name)
    const want: Want = { kind: 'want', from: name, feed: randomUUID(), revision: 1, isAll: true, add: [[runId, 0]], drop: [], received: 0 }
    await client.publish(inboxKey(here.name), JSON.stringify(want))
    await until(async () => inbox.frames, frames => frames.some(frame => frame.includes('first')))
    const wantedAt = performance.now()
    let count = 0
    await until(async () => {
      here.log.append(runId, chunk(`${count++}`))
      await pause(100)
      return inbox.frames.at(-1)!
    }, frame => !frame.includes(`"${count - 1}"`) && performance.now() - wantedAt > 1500)
    const seconds = (performance.now() - wantedAt) / 1000
    t.ok(seconds > 2.5 && seconds < 10, `${seconds} s`)
    const before = heard.of(runId).length
    here.log.append(runId, chunk('unheard'))
    await pause(50)
    t.equal(heard.of(runId).length, before)
  })

  t.test('sends a long backlog in messages of bounded length, and an event that is larger in parts', async t => {
    const runId = randomUUID()
    here.log.open(runId, 1)
    const events = Array.from({ length: 3000 }, (_, index) => chunk(`${index} 😀${'x'.repeat(90)}`))
    for (const event of [...events, chunk('😀'.repeat(1_500_000)), END]) here.log.append(runId, event)
    const { reader } = read(there.log, runId)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, Array.from({ length: 3002 }, (_, index) => index + 1))
    t.strictSame(reader.events.slice(0, 3000), events)
    t.equal(reader.contents.at(-1), '😀'.repeat(1_500_000), 'no character is torn')
  })

  t.test('a reader elsewhere that does not keep up is waited for, and others are not', async t => {
    const slow = await listen(t, server, 'slow')
    const runId = randomUUID()
    here.log.open(runId, 1)
    for (let index = 0; index < 400; index++) here.log.append(runId, chunk('x'.repeat(10_000)))
    const feed = randomUUID()
    const want: Want = { kind: 'want', from: 'slow', feed, revision: 1, isAll: true, add: [[runId, 0]], drop: [], received: 0 }
    const ask = (message: Want) => client.publish(inboxKey(here.name), JSON.stringify(message))
    await ask(want)
    const received = () => slow.frames.reduce((sum, frame) => sum + frame.length, 0)
    await until(async () => received(), size => size > 900_000)
    const { reader } = read(there.log, runId)
    await reader.until(({ seqs }) => seqs.length === 400)
    t.ok(received() < 1_200_000, `${received()} characters are under way`)
    while (received() < 4_000_000) {
      const before = received()
      await ask({ ...want, isAll: false, add: [], received: before })
      await until(async () => received(), size => size > before)
    }
    const told = slow.frames.map(frame => toPart(frame)?.text ?? frame).join('').split(/(?={"kind":"told")/)
    t.equal(told.flatMap(text => (JSON.parse(text) as Told).runs.flatMap(([, , events]) => events)).length, 400)
  })

  t.test('ten thousand readers of one run elsewhere are one want, and the run is sent once', async t => {
    const heard = await eavesdrop(t, server)
    const runId = randomUUID()
    here.log.open(runId, 1)
    const readers = Array.from({ length: 10_000 }, () => read(there.log, runId).reader)
    for (let index = 0; index < 20; index++) {
      here.log.append(runId, chunk(`${index}`))
      if (index % 5 === 0) await pause(5)
    }
    here.log.append(runId, END)
    await Promise.all(readers.map(reader => reader.until(({ ends }) => ends > 0)))
    t.ok(readers.every(({ seqs }) => seqs.length === 21))
    const wanted = heard.of(runId).filter(text => text.includes('"kind":"want"') && text.includes('"add":[["'))
    const told = heard.frames.filter(text => text.includes('"kind":"told"') && text.includes(runId))
    t.ok(wanted.length <= 2, `${wanted.length} wants`)
    t.ok(told.length <= 22, `${told.length} messages`)
    t.ok(registryOf(server).looks.at(-1)! <= 2)
  })

  t.test('the first event is elsewhere within 20 ms at the median, and later ones within 10, of one run and of many', async t => {
    const [firsts, laters, waits, crowd]: [number[], number[], number[], number[]] = [[], [], [], []]
    const crowdIds = Array.from({ length: 64 }, () => randomUUID())
    for (const runId of crowdIds) here.log.open(runId, 1)
    const crowdReaders = crowdIds.map(runId => read(there.log, runId))
    for (let n = 1; n <= 30; n++) {
      const saidAt = performance.now()
      for (const runId of crowdIds) here.log.append(runId, chunk('word'))
      await Promise.all(crowdReaders.map(({ reader }) => reader.until(({ seqs }) => seqs.length === n).then(() => crowd.push(performance.now() - saidAt))))
    }
    for (const { follower } of crowdReaders) follower.stop()
    for (let count = 0; count < 30; count++) {
      const runId = randomUUID()
      here.log.open(runId, 1)
      here.log.append(runId, chunk('first'))
      const askedAt = performance.now()
      const { reader, follower } = read(there.log, runId)
      await reader.until(({ seqs }) => seqs.length === 1)
      firsts.push(performance.now() - askedAt)
      for (let n = 2; n <= 5; n++) {
        const saidAt = performance.now()
        here.log.append(runId, chunk('later'))
        await reader.until(({ seqs }) => seqs.length === n)
        laters.push(performance.now() - saidAt)
      }
      follower.stop()
      // What a timer and an answer of Redis take, which a busy machine makes longer: some 5 ms otherwise.
      const waitedAt = performance.now()
      await pause(3)
      await client.ping()
      waits.push(performance.now() - waitedAt)
    }
    const [first, later, wait, ofMany] = [firsts, laters, waits, crowd].map(times => times.sort((one, other) => one - other)[times.length >> 1]!)
    const slowness = Math.max(1, wait! / 5)
    t.comment(`first ${first!.toFixed(1)} ms, later ${later!.toFixed(1)} ms, of many ${ofMany!.toFixed(1)} ms, ${slowness.toFixed(1)} times as slow as a quiet machine`)
    t.ok(first! < 20 * slowness, `${first} ms`)
    t.ok(later! < 10 * slowness, `${later} ms`)
    t.ok(ofMany! < 10 * slowness, `${ofMany} ms`)
  })

  t.test('readers are served whatever the clock of a process says, and wants end all the same', async t => {
    const { now } = Date
    const runId = randomUUID()
    let calls = 0
    // Wrong by a minute, now this way and now that, as if an hour were corrected again and again.
    t.intercept(Date, 'now', { value: () => now() + (calls++ % 2 === 0 ? 60_000 : -60_000) })
    here.log.open(runId, 1)
    const { reader, follower } = read(there.log, runId)
    const heard = await eavesdrop(t, server)
    for (let index = 1; index <= 40; index++) {
      here.log.append(runId, chunk(String(index)))
      await reader.until(({ seqs }) => seqs.length === index)
      await pause(100)
    }
    t.ok(heard.of(runId).filter(text => text.includes('"kind":"want"')).length < 10, 'what is wanted is held, and not said anew')
    follower.stop()
    await until(async () => heard.of(runId).some(text => text.includes('"drop":["')), isSaid => isSaid)
    here.log.append(runId, END)
  })

  t.test('sends the events of many runs in few messages, and hears over one connection', async t => {
    const runIds = Array.from({ length: 50 }, () => randomUUID())
    for (const runId of runIds) here.log.open(runId, 1)
    const readers = runIds.map(runId => read(there.log, runId).reader)
    for (const runId of runIds) here.log.append(runId, chunk('first'))
    await Promise.all(readers.map(reader => reader.until(({ seqs }) => seqs.length === 1)))
    await client.config('RESETSTAT')
    for (let index = 0; index < 20; index++) for (const runId of runIds) here.log.append(runId, chunk(String(index)))
    await Promise.all(readers.map(reader => reader.until(({ seqs }) => seqs.length === 21)))
    t.ok(await countCalls(client, 'publish') < runIds.length, 'not one per run')
    t.equal(await countCalls(client, 'xadd'), 0)
    for (const runId of runIds) here.log.append(runId, END)
    await Promise.all(readers.map(reader => reader.until(({ ends }) => ends > 0)))
  })

  t.test('a run that nobody makes yet is read from whoever takes it, at once', async t => {
    const runId = randomUUID()
    registryOf(server).own(runId, null)
    const { reader } = read(there.log, runId)
    await until(() => client.exists(streamKey(runId)).then(() => registryOf(server).looks.length), looks => looks > 0)
    await pause(100)
    const takenAt = performance.now()
    here.log.open(runId, 1)
    here.log.append(runId, chunk())
    await reader.until(({ seqs }) => seqs.length === 1)
    t.ok(performance.now() - takenAt < 500, `${performance.now() - takenAt} ms, and not when it is looked up again`)
    here.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
  })

  t.test('a reader that leaves and comes back at once is told at once', async t => {
    const runId = randomUUID()
    here.log.open(runId, 1)
    here.log.append(runId, chunk())
    const startedAt = performance.now()
    for (let count = 0; count < 6; count++) {
      const { reader, follower } = read(there.log, runId)
      await reader.until(({ seqs }) => seqs.length === 1)
      follower.stop()
    }
    const took = performance.now() - startedAt
    t.ok(took < 2500, `${took} ms, and not a second each time, in which what nobody has answered for is looked up again`)
  })

  t.test('a reader stays when the run moves to another process, and gets each attempt from its beginning', async t => {
    const runId = randomUUID()
    const third = await joinReplica(t, server)
    const { reader } = read(third.log, runId)
    here.log.open(runId, 1)
    for (const event of [...beginning(runId, 'agent', 1), chunk('one ')]) here.log.append(runId, event)
    await reader.until(({ contents }) => contents.length === 1)
    here.log.leave(runId)
    registryOf(server).own(runId, null)
    await pause(20)
    there.log.open(runId, 2)
    for (const event of [...beginning(runId, 'agent', 2), chunk('two ')]) there.log.append(runId, event)
    await reader.until(({ contents }) => contents.length === 2)
    there.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.equal(textOfReader(reader), 'two ')
    t.strictSame(reader.seqs, [1, 2, ...[0, 1, 2, 3].map(index => firstSeq(2) + index)])
    t.equal(reader.lostAfter, undefined)
  })

  t.test('what a process emits that has lost its run reaches nobody who has read its successor', async t => {
    const runId = randomUUID()
    const third = await joinReplica(t, server)
    const { reader } = read(third.log, runId)
    here.log.open(runId, 1)
    for (const event of [...beginning(runId, 'agent', 1), chunk('one ')]) here.log.append(runId, event)
    await reader.until(({ contents }) => contents.length === 1)
    // It was frozen: the database has given the run to another process, and it does not know.
    registryOf(server).own(runId, null)
    await pause(20)
    there.log.open(runId, 2)
    for (const event of [...beginning(runId, 'agent', 2), chunk('two ')]) there.log.append(runId, event)
    const late = read(third.log, runId).reader
    await Promise.all([reader, late].map(reader => reader.until(({ contents }) => contents.at(-1) === 'two ')))
    here.log.append(runId, chunk('never delivered '))
    here.log.append(runId, DONE)
    // What is said of another run later arrives later.
    const after = randomUUID()
    here.log.append(after, chunk())
    await read(third.log, after).reader.until(({ seqs }) => seqs.length === 1)
    there.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.equal(textOfReader(reader), 'two ')
    t.strictSame(reader.seqs, [1, 2, ...[0, 1, 2, 3].map(index => firstSeq(2) + index)])
  })

  t.test('a process asked for a run that it has just let go of says so, and the reader finds whoever has it', async t => {
    const runId = randomUUID()
    const third = await joinReplica(t, server)
    here.log.open(runId, 1)
    here.log.append(runId, chunk('one'))
    here.log.leave(runId)
    // The database does not know it yet.
    const startedAt = performance.now()
    const { reader } = read(third.log, runId)
    await reader.until(({ contents }) => contents.length === 1)
    t.strictSame(reader.contents, ['one'], 'what it left in Redis')
    there.log.open(runId, 2)
    there.log.append(runId, chunk('two'))
    await reader.until(({ contents }) => contents.length === 2)
    t.ok(performance.now() - startedAt < 3000, `${performance.now() - startedAt} ms`)
    there.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
  })

  t.test('a run that has ended unread is told whole by its process, and by the database once that has let go of it', async t => {
    const [first, second] = [randomUUID(), randomUUID()]
    const registry = registryOf(server)
    for (const runId of [first, second]) {
      here.log.open(runId, 1)
      for (const event of [...beginning(runId, 'agent', 1), { type: 'tool_call', id: '1', name: 'f', arguments: { a: 1 } } as RunEvent, END]) here.log.append(runId, event)
      registry.runs.set(runId, { owner: here.name, hasEnded: true })
    }
    const { reader } = read(there.log, first)
    await reader.until(({ ends }) => ends > 0)
    t.match(reader.events[1], { arguments: { a: 1 } })
    here.log.evict(second)
    registry.onEnds = runIds => { for (const runId of runIds) there.log.ingest(runId, 1, [...beginning(runId, 'agent', 1), chunk('from the database'), END]) }
    const late = read(there.log, second).reader
    await late.until(({ ends }) => ends > 0)
    t.strictSame(late.contents, ['from the database'])
  })

  t.test('an end of which the process knows nothing comes from the database', async t => {
    const runId = randomUUID()
    const registry = registryOf(server)
    registry.onEnds = runIds => { for (const runId of runIds) there.log.ingest(runId, 1, [chunk('told'), END]) }
    here.log.open(runId, 1)
    here.log.append(runId, chunk('told'))
    const { reader } = read(there.log, runId)
    await reader.until(({ seqs }) => seqs.length === 1)
    // The process settles the run, and is frozen before it emits the end.
    registry.runs.set(runId, { owner: here.name, hasEnded: true })
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.contents, ['told'])
  })

  t.test('keeps an ended run that does not fit until its readers elsewhere have it, and evicts it then', async t => {
    const { log } = await joinReplica(t, server, { maxBytes: 1000 })
    const [big, next] = [randomUUID(), randomUUID()]
    log.open(big, 1)
    log.append(big, chunk())
    const { reader } = read(there.log, big)
    await reader.until(({ seqs }) => seqs.length === 1)
    for (const event of [chunk('x'.repeat(5000)), END]) log.append(big, event)
    t.equal(log.hasEnded(big), true)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, [1, 2, 3])
    log.open(next, 1)
    log.append(next, END)
    t.strictSame([log.last(big), log.last(next)], [undefined, 1])
  })

  t.test('what a run has emitted stays readable after its process has let go of it, for a while, until another attempt begins', async t => {
    const runId = randomUUID()
    const events = [...beginning(runId, 'agent', 1), ...Array.from({ length: 3000 }, (_, index) => chunk(`${index} ${'x'.repeat(90)}`))]
    here.log.open(runId, 1)
    for (const event of events) here.log.append(runId, event)
    here.log.leave(runId)
    registryOf(server).own(runId, null)
    t.equal(here.log.last(runId), undefined)
    await until(() => client.ttl(streamKey(runId)), seconds => seconds > 0 && seconds <= 120)
    const sizes = (await client.xrange(streamKey(runId), '-', '+')).map(([, [, value]]) => value!.length)
    t.ok(sizes.length > 4 && sizes.length < 8 && sizes.every(size => size < 70_000), String(sizes))
    const { reader } = read(there.log, runId, 3)
    await reader.until(({ seqs }) => seqs.length === 2998)
    t.strictSame(reader.events, events.slice(3))
    t.equal(await there.log.readText(runId), responseOf(here.log.entries(runId)) || events.map(event => event.type === 'chunk' ? event.content : '').join(''))
    there.log.open(runId, 2)
    there.log.append(runId, chunk('2'))
    there.log.leave(runId)
    const entries = await until(() => client.xrange(streamKey(runId), '-', '+'), ([first]) => first?.[0] === `${firstSeq(2)}-0`)
    t.equal(entries.length, 1, 'of the later attempt alone')
    t.strictSame(await here.log.readLatest(runId), [{ seq: firstSeq(2), event: chunk('2') }])
  })

  t.test('of a run that is let go of a beginning of 4 MB is kept', async t => {
    const runId = randomUUID()
    here.log.open(runId, 1)
    for (let index = 0; index < 100; index++) here.log.append(runId, chunk('x'.repeat(60_000)))
    here.log.leave(runId)
    const kept = await until(() => here.log.readLatest(runId), events => events.length > 0)
    t.ok(kept.length > 60 && kept.length < 71, String(kept.length))
    t.equal(kept[0]!.seq, 1)
  })

  t.test('the text of a run so far is asked of its process, whole or its beginning', async t => {
    const [runId, long] = [randomUUID(), randomUUID()]
    t.equal(await there.log.readText(runId), '')
    here.log.open(runId, 1)
    for (const event of [...beginning(runId, 'agent', 1), chunk('😀 no'), { type: 'rewind', to: 1 } as RunEvent, chunk('😀 yes')]) here.log.append(runId, event)
    here.log.append(long, chunk('x'.repeat(300_000)))
    here.log.append(long, chunk('y'))
    t.equal(await there.log.readText(runId), '😀 yes')
    t.strictSame(await Promise.all([runId, long].map(runId => there.log.readText(runId, 3))), ['😀 y', 'xxx'])
    t.equal(await there.log.readText(long), `${'x'.repeat(300_000)}y`)
    t.equal(there.log.last(long), undefined)
    t.equal(await here.log.readText(runId, 1), '😀')
  })

  t.test('the text of a run whose process does not answer is none, within two seconds', async t => {
    const runId = randomUUID()
    registryOf(server).own(runId, randomUUID())
    const askedAt = performance.now()
    t.equal(await there.log.readText(runId), '')
    // One that is frozen listens and does not answer.
    const frozen = randomUUID()
    await listen(t, server, frozen)
    registryOf(server).own(runId, frozen)
    t.equal(await there.log.readText(runId), '')
    t.ok(performance.now() - askedAt < 2000)
  })

  t.test('delivers positions of a run that waits, once, and then its events', async t => {
    const runId = randomUUID()
    registryOf(server).own(runId, null)
    const queued = (position: number): RunEvent => ({ type: 'queued', runId, position })
    const { reader } = read(there.log, runId)
    await client.xadd(streamKey(runId), '1-0', 'e', JSON.stringify([queued(2)]))
    await reader.until(({ seqs }) => seqs.length === 1)
    await client.xadd(streamKey(runId), '2-0', 'e', JSON.stringify([queued(1)]))
    await reader.until(({ seqs }) => seqs.length === 2)
    const emitted = await here.log.readLatest(runId)
    t.strictSame(emitted, [{ seq: 1, event: queued(2) }, { seq: 2, event: queued(1) }])
    here.log.open(runId, 1)
    for (const { event } of emitted) here.log.append(runId, event)
    for (const event of [...beginning(runId, 'agent', 1), chunk('text'), END]) here.log.append(runId, event)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, [1, 2, 3, 4, 5])
    t.strictSame(reader.events.map(({ type }) => type), ['queued', 'queued', 'started', 'chunk', 'done'])
  })
})

t.test('events that Redis loses or refuses are delivered all the same', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const { client } = server
  const [here, there] = [await joinReplica(t, server), await joinReplica(t, server)]

  /** Follows a run from another process while something happens in the middle of the run. */
  async function followThrough (happening: (say: (count: number) => void) => Promise<void>): Promise<{ reader: TestReader, late: TestReader, contents: string[] }> {
    const runId = randomUUID()
    const contents: string[] = []
    const say = (count: number) => {
      for (let index = 0; index < count; index++) {
        contents.push(`${contents.length} ${'x'.repeat(3000)}`)
        here.log.append(runId, chunk(contents.at(-1)))
      }
    }
    const { reader } = read(there.log, runId)
    here.log.open(runId, 1)
    say(100)
    await reader.until(reader => reader.contents.length > 50)
    await happening(say)
    say(3)
    here.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    const { log } = await joinReplica(t, server)
    const late = read(log, runId).reader
    await late.until(({ ends }) => ends > 0)
    return { reader, late, contents }
  }

  function check (t: { strictSame (one: unknown, other: unknown): void }, { reader, late, contents }: Awaited<ReturnType<typeof followThrough>>): void {
    t.strictSame(reader.contents, contents)
    t.strictSame(reader.seqs, Array.from({ length: contents.length + 1 }, (_, index) => index + 1))
    t.strictSame([late.contents, late.seqs], [reader.contents, reader.seqs])
  }

  t.test('after FLUSHALL', async t => {
    check(t, await followThrough(async say => {
      await client.flushall()
      say(100)
    }))
  })

  t.test('after Redis was killed and is back without its data', async t => {
    check(t, await followThrough(async say => {
      await server.stop('SIGKILL')
      say(100)
      await until(async () => here.lines.at(-1)!, line => line.startsWith('Redis is unavailable'))
      say(100)
      await server.start()
    }))
    await until(async () => here.link.isUp && there.link.isUp, up => up)
    t.match(here.lines, [/^Redis is connected$/, /^Redis is unavailable: (connect ECONNREFUSED|[^;]+); until it is back, each process executes its own runs$/, /^Redis is connected$/])
  })

  t.test('after it was full', async t => {
    check(t, await followThrough(async say => {
      await client.set('a big one', 'x'.repeat(8 * 1024 * 1024))
      await client.config('SET', 'maxmemory', '2mb')
      say(100)
      await until(async () => here.lines.at(-1)!, line => /OOM/.test(line))
      say(100)
      await client.del('a big one')
      await client.config('SET', 'maxmemory', '0')
      say(100)
    }))
    await until(async () => here.link.isUp && there.link.isUp, up => up)
  })

  t.test('after it has not answered for longer than a command may take', async t => {
    check(t, await followThrough(async say => {
      server.process.kill('SIGSTOP')
      say(100)
      await until(async () => here.lines.at(-1)!, line => /^Redis is unavailable: it does not answer;/.test(line))
      say(100)
      server.process.kill('SIGCONT')
      say(100)
    }))
    await until(async () => here.link.isUp && there.link.isUp, up => up)
  })

  t.test('after it was slow', async t => {
    check(t, await followThrough(async say => {
      await client.client('PAUSE', 700)
      say(100)
    }))
  })

  t.test('after Redis has come back with a stream of an earlier attempt', async t => {
    const runId = randomUUID()
    const old: RunEvent[] = [...beginning(runId, 'agent', 1), chunk('old ')]
    here.log.open(runId, 2)
    for (const event of [...beginning(runId, 'agent', 2), chunk('new ')]) here.log.append(runId, event)
    await client.xadd(streamKey(runId), '2-0', 'e', JSON.stringify(old))
    registryOf(server).own(runId, null)
    const unowned = read(there.log, runId).reader
    await unowned.until(({ contents }) => contents.at(-1) === 'new ')
    registryOf(server).own(runId, here.name)
    const { log } = await joinReplica(t, server)
    const { reader } = read(log, runId)
    here.log.append(runId, END)
    await Promise.all([reader, unowned].map(reader => reader.until(({ ends }) => ends > 0)))
    t.strictSame(reader.contents, ['new '], 'whoever knows the process does not look at the stream')
    t.equal(textOfReader(unowned), 'new ')
  })

  t.test('after one process has lost its connections, be it the one that makes the run or the one that reads', async t => {
    for (const one of [here, there]) {
      check(t, await followThrough(async say => {
        const ready = once(one.link.commands, 'ready')
        for (const connection of one.connections) connection.stream.destroy()
        say(100)
        await ready
        say(100)
      }))
    }
  })

  t.test('after a message to the reader was lost', async t => {
    const { commands } = here.link
    const { pipeline } = commands
    let count = 0
    t.teardown(() => { commands.pipeline = pipeline })
    check(t, await followThrough(async say => {
      commands.pipeline = (() => {
        const lossy = pipeline.call(commands)
        const { publish } = lossy
        lossy.publish = (...args: unknown[]) => count++ === 0 ? lossy.ping('1') : publish.apply(lossy, args as never)
        return lossy
      }) as typeof pipeline
      say(100)
      await until(async () => count, count => count > 0)
    }))
  })

  t.test('after a message to the process that makes the run was lost', async t => {
    const { commands } = there.link
    const { publish } = commands
    let count = 0
    const runId = randomUUID()
    here.log.open(runId, 1)
    here.log.append(runId, chunk('told'))
    commands.publish = ((channel: string, text: string) => {
      const isWant = text.includes('"kind":"want"') && text.includes(runId)
      return isWant && count++ === 0 ? Promise.resolve(1) : publish.call(commands, channel, text)
    }) as typeof publish
    t.teardown(() => { commands.publish = publish })
    const other = randomUUID()
    here.log.open(other, 1)
    here.log.append(other, chunk('other'))
    await read(there.log, other).reader.until(({ seqs }) => seqs.length === 1)
    const { reader } = read(there.log, runId)
    await reader.until(({ contents }) => contents.length === 1)
    t.ok(count > 1, 'it was said again')
  })

  t.test('and no position is emitted of a run that a process has begun', async t => {
    defineScripts(client)
    const emitPosition = (runId: string, emitted: number) => client.emitPosition('jobs:prioritized', streamKey(runId), runId, emitted, '[{"type":"queued","runId":"%s","position":%d}]', 60)
    const [runId, stalled] = [randomUUID(), randomUUID()]
    await client.zadd('jobs:prioritized', 1, runId)
    t.equal(await emitPosition(runId, 1000), 1)
    t.strictSame(await there.log.readLatest(runId), [{ seq: 1, event: { type: 'queued', runId, position: 1 } }])
    t.equal(await emitPosition(runId, 1), 1, 'the position has not improved')
    here.log.open(runId, 2)
    here.log.append(runId, chunk())
    here.log.leave(runId)
    await until(() => client.xrevrange(streamKey(runId), '+', '-', 'COUNT', 1), ([last]) => last?.[0] === `${firstSeq(2)}-0`)
    t.equal(await emitPosition(runId, 1000), -1)
    await client.zadd('jobs:prioritized', 2, stalled)
    await client.hset(`jobs:${stalled}`, 'stc', 1)
    t.equal(await emitPosition(stalled, 1000), -1, 'its job has come back without its process')
    t.equal(await client.exists(streamKey(stalled)), 0)
  })
})

t.test('a closed log leaves no timers behind', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const replica = await joinReplica(t, server)
  const runId = randomUUID()
  server.process.kill('SIGSTOP')
  read(replica.log, runId)
  await until(() => countPending(replica.link.commands), count => count > 0)
  let timers = 0
  await replica.close()
  t.intercept(globalThis, 'setTimeout', { value: Object.assign(() => { timers++ }, { unref () {} }) })
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(timers, 0)
})

function pause (ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

/** Hears what is said to an inbox, as the process would. */
async function listen (t: Pick<Test, 'teardown'>, { port }: RedisServer, name: string): Promise<{ frames: string[] }> {
  const frames: string[] = []
  const connection = new Redis({ port, host: '127.0.0.1' })
  t.teardown(() => connection.disconnect())
  connection.on('message', (_channel: string, frame: string) => { frames.push(frame) })
  await connection.subscribe(inboxKey(name))
  return { frames }
}

/** The number of commands without an answer. */
async function countPending (connection: unknown): Promise<number> {
  return (connection as { commandQueue: { length: number } }).commandQueue.length
}
