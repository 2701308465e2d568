import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { renderChart } from '../../bench/chart.js'
import { compare, judge, noiseOf, whyIncomparable } from '../../bench/compare.js'
import { hasProgram } from '../../bench/machine.js'
import { compile, Load, promptOf, startGateway } from '../../bench/native.js'
import { startProgram, untilStarted } from '../../bench/process.js'
import type { Result } from '../../bench/result.js'
import { StatementReader } from '../../bench/sql-proxy.js'
import { summarize, summarizeRatio } from '../../bench/stats.js'
import { completion, post } from '../../bench/subjects/subject.js'
import { renderTable } from '../../bench/table.js'

const MODE = { delayMs: 0, firstMs: 0, tokens: 200, burst: 1 }

const result: Result = {
  machine: { cpu: 'Some <CPU>', cores: 2, memoryGb: 8, kernel: '6.1', node: 'v20.20.2' },
  when: '2026-11-24T12:00:00.000Z',
  commit: 'abc1234',
  looks: 1,
  metrics: { cpu_per_mtok_saturated: { ours: summarize([9, 8, 10]), pipe: summarize([6]) }, sql_calls_per_run: { ours: summarize([2]) } },
  ratios: { cpu_per_mtok_saturated: { pipe: summarize([1.5]) } },
  growth: { cpu_per_mtok_saturated: { ours: summarize([1.1]) } },
  bench: {
    tokensPerSecond: summarize([1e6]),
    tokensPerSecondBurst8: summarize([2e6]),
    cpuPerMtok: summarize([1]),
    firstTokenP50Ms: summarize([20]),
    firstTokenP99Ms: summarize([21]),
    busiest: 0.4
  },
  remarks: ['ours refused 3 requests'],
  gaps: {},
  leftOut: { nginx: 'it is not installed' }
}

t.test('repeated measurements are summarized by median, minimum and maximum', async t => {
  t.same(summarize([3, 1, 2]), { median: 2, min: 1, max: 3, runs: 3 })
  t.same(summarize([4, 1]), { median: 2.5, min: 1, max: 4, runs: 2 })
})

t.test('a ratio divides what was measured in the same round, so that a machine that gets slower changes none', async t => {
  t.same(summarizeRatio([9, 18, 36], [6, 12, 24]), { median: 1.5, min: 1.5, max: 1.5, runs: 3 })
  t.same(summarizeRatio([9, 18], [6]), { median: 1.5, min: 1.5, max: 1.5, runs: 1 }, 'a round that lacks one has no ratio')
  t.equal(summarizeRatio(undefined, [6]), undefined)
})

t.test('a figure is worse only if the change exceeds the noise of both measurements', async t => {
  const before = summarize([9, 10, 11])
  t.equal(judge(before, summarize([10, 11, 12]), 'less'), 'same')
  t.equal(judge(before, summarize([13, 14, 15]), 'less'), 'worse')
  t.equal(judge(before, summarize([5, 6, 7]), 'less'), 'better')
  t.equal(judge(before, summarize([5, 6, 7]), 'more'), 'worse')
})

t.test('a figure without spread has some noise, and one that was measured once has more', async t => {
  t.equal(noiseOf(summarize([100, 100, 100])), 2.5)
  t.equal(noiseOf(summarize([100])), 7.5)
})

t.test('only our figures that both results have are compared', async t => {
  const now = { metrics: { cpu_per_mtok_saturated: { ours: summarize([20, 20]), pipe: summarize([60]) } } }
  t.match(compare(result, now), [{ metric: 'cpu_per_mtok_saturated', verdict: 'worse' }])
  t.equal(compare(result, now).length, 1)
})

t.test('a figure that could not be measured is shown as none, with the reason below the table', async t => {
  const table = renderTable({ ...result, gaps: { cpu_per_mtok_saturated: { express: 'it was too slow' }, kb_per_stream_5000: { portkey: '3 of 5000 streams' } } })
  t.match(table, /processor s per million tokens, saturated +9 ±1 ×1\.1 +6 +none\n/)
  t.match(table, /KB a running stream, of 5,000 +none\n/)
  t.match(table, 'express has no cpu_per_mtok_saturated: it was too slow')
  t.match(table, 'portkey has no kb_per_stream_5000: 3 of 5000 streams')
})

t.test('results of different machines are not comparable', async t => {
  t.equal(whyIncomparable(result, result), undefined)
  t.match(whyIncomparable(result, { machine: { ...result.machine, cores: 8 } }), 'cores 2 then, 8 now')
})

t.test('the table has a row per figure and lists omitted subjects, and the chart has a bar per subject', async t => {
  const table = renderTable(result)
  t.match(table, /processor s per million tokens, saturated +9 ±1 ×1\.1 +6/)
  t.match(table, 'ours refused 3 requests')
  t.match(table, 'nginx is left out: it is not installed')
  const chart = renderChart(result)
  t.equal(chart.match(/<rect x=/g)?.length, 2)
  t.match(chart, 'Some &lt;CPU&gt;')
})

t.test('statements are counted when they are executed, however their bytes are split', async t => {
  const calls: string[] = []
  const reader = new StatementReader(statement => calls.push(statement))
  const bytes = Buffer.concat([
    message('', '\0\x03\0\0user\0postgres\0\0'),
    message('P', 'one\0select public.begin_run($1)\0\0\0'),
    message('B', '\0one\0\0\0'), message('E', '\0\0\0\0\0'), message('S', ''),
    message('B', '\0one\0\0\0'), message('E', '\0\0\0\0\0'), message('S', ''),
    message('Q', 'select 1\0')
  ])
  for (const byte of bytes) reader.push(Buffer.from([byte]))
  t.same(calls, ['select public.begin_run($1)', 'select public.begin_run($1)', 'select 1'])
})

t.test('the load generator accepts only the text that the stand-in sends', async t => {
  const directory = await prepareTools(t)
  if (!directory) return
  const gateway = await startGateway(directory)
  t.teardown(() => gateway.program.stop('SIGKILL'))
  const response = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(completion(promptOf(MODE))) })
  const right = await response.text()
  const frames = right.split(/(?<=\n\n)/)

  t.equal((await read(t, directory, right)).streams, 1)
  const wrong = {
    'a frame is missing': frames.toSpliced(50, 1),
    'a frame is doubled': frames.toSpliced(50, 0, frames[50]!),
    'two frames are exchanged': frames.toSpliced(50, 2, frames[51]!, frames[50]!),
    'a letter is another': [right.replace('"content":" run"', '"content":" ran"')],
    'the end is missing': frames.slice(0, -1),
    'it breaks off': frames.slice(0, 100)
  }
  for (const [what, pieces] of Object.entries(wrong)) await t.rejects(read(t, directory, pieces.join('')), /should be/, what)
})

t.test('new connections begin only while fewer than the limit wait for their first text', async t => {
  const directory = await prepareTools(t)
  if (!directory) return
  const gateway = await startGateway(directory)
  t.teardown(() => gateway.program.stop('SIGKILL'))
  const response = await fetch(`${gateway.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(completion(promptOf(MODE))) })
  const right = await response.text()
  const waiting: ServerResponse[] = []
  const asked = { most: 0, all: 0 }
  const port = await serve(t, response => {
    waiting.push(response)
    asked.all++
    asked.most = Math.max(asked.most, waiting.length)
    // Answers one when the limit is reached, and all when no more connections will come.
    while (waiting.length >= 5 || (asked.all === 20 && waiting.length > 0)) waiting.shift()!.writeHead(200, { connection: 'close' }).end(right)
  })
  const load = new Load(directory, { ports: [port], connections: 20, streams: 20, maxSilent: 5, tokens: MODE.tokens, format: 'openai', requests: [post('/', {}, {})] })
  t.equal((await load.ended().finally(() => load.stop())).streams, 20)
  t.equal(asked.most, 5)
})

t.test('the error for a program that does not start contains its name and output', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'jeesi-test-bench-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const program = startProgram('sh', ['-c', 'echo no port is left; exit 1'], { log: join(directory, 'log') })
  await t.rejects(untilStarted('nginx', program, async () => false), /nginx did not start:\nno port is left/)
})

t.test('a program ends with the process that started it, even if that is killed', async t => {
  if (!hasProgram('setpriv')) {
    t.comment('LEFT OUT: no setpriv')
    return
  }
  const directory = await mkdtemp(join(tmpdir(), 'jeesi-test-bench-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const module = new URL('../../bench/process.ts', import.meta.url).href
  const script = `const { startProgram } = await import(${JSON.stringify(module)})
    startProgram('cat', ['${directory}/fifo'], { log: '${directory}/log' })`
  execFileSync('mkfifo', [join(directory, 'fifo')])
  const starter = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { stdio: 'inherit' })
  // The pipe opens when the program opens it, and fails when the program has ended.
  const pipe = createWriteStream(join(directory, 'fifo'))
  await once(pipe, 'open')
  const gone = once(pipe, 'error')
  starter.kill('SIGKILL')
  await once(starter, 'exit')
  const writing = setInterval(() => pipe.write('x'), 20)
  t.match((await gone)[0], { code: 'EPIPE' })
  clearInterval(writing)
})

/** Encodes a message of the PostgreSQL protocol. */
function message (type: string, body: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([Buffer.from(type), length, Buffer.from(body, 'latin1')])
}

async function prepareTools (t: Test): Promise<string | undefined> {
  if (process.platform !== 'linux' || !hasProgram('cc')) {
    if (process.env.REQUIRE_SERVICES) throw new Error('no C compiler')
    t.comment('LEFT OUT: no C compiler on Linux to build the bench\'s tools with')
    return undefined
  }
  const directory = await mkdtemp(join(tmpdir(), 'jeesi-test-bench-'))
  t.teardown(() => rm(directory, { recursive: true }))
  compile(directory)
  return directory
}

/** Lets the load generator read one stream with this body. */
async function read (t: Test, directory: string, body: string) {
  const port = await serve(t, response => { response.writeHead(200, { 'content-type': 'text/event-stream' }).end(body) })
  const load = new Load(directory, { ports: [port], connections: 1, streams: 1, tokens: MODE.tokens, format: 'openai', requests: [post('/', {}, {})] })
  return load.ended().finally(() => load.stop())
}

/** Starts a server until the end of the test. @returns its port. */
async function serve (t: Test, answer: (response: ServerResponse) => void): Promise<number> {
  const server = createServer((_, response) => answer(response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return (server.address() as AddressInfo).port
}
