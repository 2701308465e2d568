import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import fc from 'fast-check'
import type { Redis } from 'ioredis'
import t from 'tap'
import { firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { beginning, responseOf } from '#shared/trace.ts'
import { SharedEventLog } from '../../src/redis/event-log.js'
import { streamKey } from '../../src/redis/keys.js'
import { defineScripts } from '../../src/redis/scripts/scripts.js'
import type { StreamReader } from '../../src/redis/stream-reader.js'
import { chunk, DONE, read, testEventLog, TestReader } from '../executor/events/event-log-contract.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { textOf } from '../support/helper.js'
import { countCalls, joinReplica, until } from '../support/replica.js'

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
      const log = new SharedEventLog(link.commands, streams, { maxBytes: 1024 * 1024, keepMs: 60_000, keepStreamSeconds: 600 })
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

  t.test('packs events that are appended together into few entries of 64 KB at the most', async t => {
    const runId = randomUUID()
    const { reader } = read(there.log, runId)
    here.log.open(runId, 1)
    const events = Array.from({ length: 3000 }, (_, index) => chunk(`${index} ${'x'.repeat(90)}`))
    for (const event of [...events, chunk('y'.repeat(200_000)), END]) here.log.append(runId, event)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, Array.from({ length: 3002 }, (_, index) => index + 1))
    t.strictSame(reader.events.slice(0, 3000), events)
    const sizes = (await client.xrange(streamKey(runId), '-', '+')).map(([, [, value]]) => value!.length)
    t.ok(sizes.length > 5 && sizes.length < 15, String(sizes))
    t.strictSame(sizes.filter(size => size > 70_000).length, 1, 'except for a single event that is larger')
  })

  t.test('writes the events of many runs with few commands, and reads them over one connection', async t => {
    const runIds = Array.from({ length: 50 }, () => randomUUID())
    const blocked = async () => String(await client.client('LIST')).split('\n').filter(line => /flags=b/.test(line)).length
    await until(blocked, count => count === 2)
    await client.config('RESETSTAT')
    const readers = runIds.map(runId => read(there.log, runId).reader)
    for (const runId of runIds) here.log.open(runId, 1)
    for (let index = 0; index < 20; index++) for (const runId of runIds) here.log.append(runId, chunk(String(index)))
    await Promise.all(readers.map(reader => reader.until(({ seqs }) => seqs.length === 20)))
    t.ok(await countCalls(client, 'xadd') < 4 * runIds.length, 'not one per event')
    t.ok(await countCalls(client, 'expire') <= runIds.length)
    t.equal(await until(blocked, count => count === 2), 2, 'one blocking connection per process')
    for (const runId of runIds) here.log.append(runId, END)
    await Promise.all(readers.map(reader => reader.until(({ ends }) => ends > 0)))
  })

  t.test('renews the expiry of a stream, and shortens it when the run ends', async t => {
    const runId = randomUUID()
    const { reader } = read(there.log, runId)
    here.log.open(runId, 1)
    here.log.append(runId, chunk())
    await reader.until(({ seqs }) => seqs.length === 1)
    const ttl = await until(() => client.ttl(streamKey(runId)), seconds => seconds > 0)
    t.ok(ttl > 3000 && ttl <= 3600)
    here.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.ok(await until(() => client.ttl(streamKey(runId)), seconds => seconds <= 600) > 500)
  })

  t.test('removes the events of an earlier attempt from the stream', async t => {
    const runId = randomUUID()
    here.log.open(runId, 1)
    for (let index = 0; index < 5; index++) here.log.append(runId, chunk())
    await until(() => client.xlen(streamKey(runId)), length => length > 0)
    there.log.open(runId, 2)
    there.log.append(runId, chunk('2'))
    const entries = await until(() => client.xrange(streamKey(runId), '-', '+'), ([first]) => first?.[0] === `${firstSeq(2)}-0`)
    t.equal(entries.length, 1)
    t.strictSame(await here.log.readLatest(runId), [{ seq: firstSeq(2), event: chunk('2') }])
  })

  t.test('refuses events of an attempt once a later one has written', async t => {
    const runId = randomUUID()
    const third = await joinReplica(t, server)
    const { reader } = read(third.log, runId)
    here.log.open(runId, 1)
    for (const event of [...beginning(runId, 'agent', 1), chunk('one ')]) here.log.append(runId, event)
    await reader.until(({ contents }) => contents.length === 1)
    there.log.open(runId, 2)
    for (const event of [...beginning(runId, 'agent', 2), chunk('two ')]) there.log.append(runId, event)
    await reader.until(({ contents }) => contents.length === 2)
    here.log.append(runId, chunk('never delivered '))
    here.log.append(runId, DONE)
    // Events of another run that were appended later arrive later.
    const after = randomUUID()
    here.log.append(after, chunk())
    await read(third.log, after).reader.until(({ seqs }) => seqs.length === 1)
    there.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.equal(textOfReader(reader), 'two ')
    t.strictSame(reader.seqs, [1, 2, ...[0, 1, 2, 3].map(index => firstSeq(2) + index)])
    const ids = (await client.xrange(streamKey(runId), '-', '+')).map(([id]) => parseInt(id))
    t.ok(ids.every(id => id >= firstSeq(2)))
  })

  t.test('writes no events under the numbers of another attempt, even if an answer of Redis comes late', async t => {
    const runId = randomUUID()
    here.log.open(runId, 1)
    for (let index = 0; index < 5; index++) here.log.append(runId, chunk('one'))
    await client.client('PAUSE', 100, 'WRITE')
    await until(() => countPending(here.link.commands), count => count > 0)
    here.log.open(runId, 2)
    here.log.append(runId, chunk('two'))
    const { reader } = read(there.log, runId)
    here.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.equal(reader.contents.at(-1), 'two')
    t.strictSame(reader.seqs.slice(-2), [firstSeq(2), firstSeq(2) + 1])
    t.strictSame(reader.contents.slice(0, -1), reader.contents.slice(0, -1).map(() => 'one'))
  })

  t.test('continues after entries that Redis has accepted without an answer', async t => {
    const runId = randomUUID()
    const { reader } = read(there.log, runId)
    const events = [chunk('1'), chunk('2'), chunk('3')]
    await client.xadd(streamKey(runId), '3-0', 'e', JSON.stringify(events))
    here.log.open(runId, 1)
    for (const event of events) here.log.append(runId, event)
    await reader.until(({ seqs }) => seqs.length === 3)
    await until(() => client.info('errorstats'), stats => /errorstat_ERR/.test(stats))
    here.log.append(runId, chunk('4'))
    await reader.until(({ seqs }) => seqs.length === 4)
    here.log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.contents, ['1', '2', '3', '4'])
    t.strictSame((await here.log.readLatest(runId)).map(({ seq }) => seq), [1, 2, 3, 4, 5])
    t.ok(await until(() => client.ttl(streamKey(runId)), seconds => seconds > 0))
  })

  t.test('lets a stream expire whose only entry was accepted without an answer', async t => {
    const runId = randomUUID()
    await client.xadd(streamKey(runId), '1-0', 'e', JSON.stringify([END]))
    here.log.open(runId, 1)
    here.log.append(runId, END)
    t.ok(await until(() => client.ttl(streamKey(runId)), seconds => seconds > 0))
  })

  t.test('delivers events once that are in the stream twice', async t => {
    const runId = randomUUID()
    await client.xadd(streamKey(runId), '2-0', 'e', JSON.stringify([chunk('1'), chunk('2')]))
    await client.xadd(streamKey(runId), '3-0', 'e', JSON.stringify([chunk('1'), chunk('2'), chunk('3')]))
    await client.xadd(streamKey(runId), '4-0', 'e', JSON.stringify([END]))
    const { reader } = read(there.log, runId)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, [1, 2, 3, 4])
    t.strictSame((await there.log.readLatest(runId)).map(({ seq }) => seq), [1, 2, 3, 4])
  })

  t.test('ignores a stream without its beginning', async t => {
    const runId = randomUUID()
    here.log.open(runId, 1)
    const near = read(there.log, runId).reader
    for (const content of ['1', '2', '3']) {
      here.log.append(runId, chunk(content))
      await near.until(({ contents }) => contents.at(-1) === content)
    }
    await client.xtrim(streamKey(runId), 'MINID', 2)
    const { log } = await joinReplica(t, server)
    const { reader } = read(log, runId)
    here.log.append(runId, END)
    await near.until(({ ends }) => ends > 0)
    t.strictSame(near.seqs, [1, 2, 3, 4])
    const other = randomUUID()
    here.log.append(other, chunk())
    await read(log, other).reader.until(({ seqs }) => seqs.length === 1)
    t.strictSame([reader.seqs, log.remoteRuns().includes(runId)], [[], true], 'the end comes from the database')
    t.strictSame(await log.readLatest(runId), [])
    log.ingest(runId, 1, [chunk('1'), chunk('2'), chunk('3'), END])
    t.equal(reader.ends, 1)
  })

  t.test('keeps an ended run that does not fit until Redis has it, and evicts it then', async t => {
    const { log } = await joinReplica(t, server, 1000)
    const [big, next] = [randomUUID(), randomUUID()]
    const { reader } = read(there.log, big)
    log.open(big, 1)
    for (const event of [...beginning(big, 'agent', 1), chunk('x'.repeat(5000)), END]) log.append(big, event)
    t.equal(log.hasEnded(big), true)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, [1, 2, 3])
    log.open(next, 1)
    log.append(next, END)
    t.strictSame([log.last(big), log.last(next)], [undefined, 1])
  })

  t.test('reads the events of a run\'s latest attempt', async t => {
    const runId = randomUUID()
    t.strictSame(await there.log.readLatest(runId), [])
    here.log.open(runId, 1)
    here.log.append(runId, { type: 'queued', runId, position: 2 })
    here.log.append(runId, { type: 'queued', runId, position: 1 })
    const events = await until(() => there.log.readLatest(runId), events => events.length === 2)
    t.strictSame(events, [{ seq: 1, event: { type: 'queued', runId, position: 2 } }, { seq: 2, event: { type: 'queued', runId, position: 1 } }])
    t.equal(responseOf(events), '')
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
    t.ok(await until(() => client.ttl(streamKey(runId)), seconds => seconds > 0) <= 600)
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

  t.test('after Redis was restored from an earlier state', async t => {
    const runId = randomUUID()
    const key = streamKey(runId)
    here.log.open(runId, 1)
    here.log.append(runId, chunk('before '))
    const snapshot = (await until(() => client.dumpBuffer(key), dump => dump !== null))!
    here.log.append(runId, chunk('lost '))
    await until(() => client.xlen(key), length => length === 2)
    const ready = once(here.link.commands, 'ready')
    await client.multi().restore(key, 0, snapshot, 'REPLACE').call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes').exec()
    await ready
    here.log.append(runId, chunk('after'))
    here.log.append(runId, END)
    const { log } = await joinReplica(t, server)
    const { reader } = read(log, runId)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.contents, ['before ', 'lost ', 'after'])
  })

  t.test('and no position is emitted into the stream of a run that is executed', async t => {
    const runId = randomUUID()
    defineScripts(client)
    const emitPosition = (emitted: number) => client.emitPosition('waiting', streamKey(runId), runId, emitted, '[{"type":"queued","runId":"%s","position":%d}]', 60)
    await client.zadd('waiting', 1, runId)
    t.equal(await emitPosition(1000), 1)
    t.strictSame(await there.log.readLatest(runId), [{ seq: 1, event: { type: 'queued', runId, position: 1 } }])
    t.equal(await emitPosition(1), 1, 'the position has not improved')
    here.log.open(runId, 2)
    here.log.append(runId, chunk())
    await until(() => client.xrevrange(streamKey(runId), '+', '-', 'COUNT', 1), ([last]) => last?.[0] === `${firstSeq(2)}-0`)
    t.equal(await emitPosition(1000), -1)
  })

  t.test('and there is no gap if Redis refuses one entry and would accept the next', async t => {
    let refusals = 0
    const refusing = Object.create(here.link.commands, {
      pipeline: {
        value () {
          const pipeline = here.link.commands.pipeline()
          const { xadd } = pipeline
          pipeline.xadd = (...args: unknown[]) => {
            pipeline.xadd = xadd
            return refusals++ < 3 ? pipeline.call('refused') : xadd.apply(pipeline, args as never)
          }
          return pipeline
        }
      }
    })
    const log = new SharedEventLog(refusing, here.streams, { maxBytes: 1024 * 1024, keepMs: 60_000, keepStreamSeconds: 600 })
    t.teardown(() => log.close())
    const runId = randomUUID()
    const { reader } = read(there.log, runId)
    log.open(runId, 1)
    for (let index = 0; index < 100; index++) log.append(runId, chunk(`${index} ${'x'.repeat(3000)}`))
    log.append(runId, END)
    await reader.until(({ ends }) => ends > 0)
    t.strictSame(reader.seqs, Array.from({ length: 101 }, (_, index) => index + 1))
    t.equal(refusals > 3, true)
  })
})

t.test('a Redis that goes away again during the check of a stream is retried after a pause', async t => {
  const asked: number[] = []
  let twice = () => {}
  const isAskedTwice = new Promise<void>(resolve => { twice = resolve })
  // A connection that fails at once needs no socket.
  const failing = Object.assign(new EventEmitter(), {
    status: 'ready',
    xrevrange: async () => {
      if (asked.push(performance.now()) === 2) twice()
      throw new Error('Connection is closed.')
    },
    pipeline: () => ({ exec: async () => [], xadd () {}, xtrim () {}, expire () {} })
  })
  const log = new SharedEventLog(failing as unknown as Redis, { watch: () => () => {} } as unknown as StreamReader, { maxBytes: 1e6, keepMs: 60_000, keepStreamSeconds: 600 })
  t.teardown(() => log.close())
  log.open('a', 1)
  failing.emit('ready')
  await isAskedTwice
  t.ok(asked[1]! - asked[0]! > 400, `${asked[1]! - asked[0]!} ms`)
})

t.test('a closed log leaves no timers behind', async t => {
  if (!await findRedis(t)) return
  const server = await startRedis(t)
  const replica = await joinReplica(t, server)
  const runId = randomUUID()
  server.process.kill('SIGSTOP')
  replica.log.open(runId, 1)
  replica.log.append(runId, chunk())
  await until(() => countPending(replica.link.commands), count => count > 0)
  let timers = 0
  replica.close()
  t.intercept(globalThis, 'setTimeout', { value: Object.assign(() => { timers++ }, { unref () {} }) })
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(timers, 0)
})

/** The number of commands without an answer. */
async function countPending (connection: unknown): Promise<number> {
  return (connection as { commandQueue: { length: number } }).commandQueue.length
}
