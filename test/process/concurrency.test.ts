import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CLOSE_MS, PLATFORM_MS, PRIMARY_MS } from '../../src/shutdown.js'
import { hang, inTurn, say, startGateway, type GatewayDouble } from '../support/doubles/gateway.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { ALL_EVENTS, bearer, createPostgres, DEMO_AGENT, findPostgres, JWT_SECRET, parseStream, textOf } from '../support/helper.js'
import { valueOf } from '../metrics/text.js'
import { commandOf, run } from '../support/process.js'

const BEGUN = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }
/** Waits for a few seconds of a busy machine. */
const PATIENCE_MS = 60_000

interface Line { level: string, message: string, pid?: number, runId?: string, pauseMs?: number, processes?: number }

interface Group {
  primary: ChildProcess
  url: string
  gateway: GatewayDouble
  lines: Line[]
  /** What the first one said when all listened. */
  listening: Line
  /** The next line, or one that has been, with this text. */
  said (what: RegExp | ((line: Line) => boolean), times?: number): Promise<Line>
  /** The process ids of those that serve. */
  pids (): number[]
  exited: Promise<[number | null, NodeJS.Signals | null]>
}

t.test('with WEB_CONCURRENCY several processes share a port', async t => {
  if (process.platform !== 'linux' || !await findPostgres(t) || !await findRedis(t)) return
  const shared = { SUPABASE_DB_URL: await createPostgres(t), REDIS_URL: (await startRedis(t)).url }

  t.test('of which any says what all have counted, be they alive or not any more', async t => {
    const group = await start(t, shared)
    const scrape = async () => (await fetch(`${group.url}/metrics`, { headers: { connection: 'close' } })).text()
    for (let n = 0; n < 4; n++) await begin(group)
    const settled = async () => {
      const until = Date.now() + PATIENCE_MS
      while (Date.now() < until) {
        const text = await scrape()
        if (valueOf(text, 'jeesi_runs_total', { state: 'succeeded' }) === 4) return text
        await delay(10)
      }
      return scrape()
    }
    const before = await settled()
    t.equal(valueOf(before, 'jeesi_runs_total', { state: 'succeeded' }), 4)
    t.equal(valueOf(before, 'jeesi_processes'), 2)
    t.equal(valueOf(before, 'jeesi_slots'), 500)
    t.equal(valueOf(before, 'jeesi_redis_up'), 1, 'of what is up the worst counts, and not the sum')
    t.equal(valueOf(before, 'jeesi_shared_queue_length'), 0)
    t.equal(valueOf(before, 'jeesi_database_pool_connections'), 20)
    t.equal(valueOf(await scrape(), 'jeesi_credits_total'), valueOf(await scrape(), 'jeesi_credits_total'), 'whichever is asked')
    const [pid] = group.pids()
    process.kill(pid!, 'SIGKILL')
    await group.said(/^a process has taken the place/)
    const after = await scrape()
    t.equal(valueOf(after, 'jeesi_runs_total', { state: 'succeeded' }), 4, 'nothing is counted twice, and what was counted stays')
    t.equal(valueOf(after, 'jeesi_processes'), 2)
  })

  t.test('of which any streams a run that another one makes, and one that dies is replaced', async t => {
    const group = await start(t, { ...shared, DRAIN_SECONDS: '60' })
    t.equal(group.listening.processes, 2)
    for (const pid of group.pids()) t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /--max-old-space-size=\d+/)

    t.test('each connection goes to the next of them, and both stream the whole of a run', async t => {
      const { runId } = await begin(group)
      for (let n = 0; n < 2; n++) {
        const response = await fetch(`${group.url}/api/runs/${runId}/events`, { headers: await headers() })
        t.equal(textOf(parseStream(await response.text())), 'Hello world')
      }
      t.same(new Set(group.lines.flatMap(({ pid }) => pid ?? [])), new Set(group.pids()), 'both have written to the log, by their names')
    })

    t.test('a run of one that is killed goes on in the other', async t => {
      group.gateway.reply = inTurn(hang('half'), say('the whole'))
      const arriving = group.gateway.nextCall()
      const { runId } = await begin(group)
      await arriving
      const { pid } = await group.said(line => line.runId === runId && /^\[AGENT-EXECUTOR\]/.test(line.message))
      process.kill(pid!, 'SIGKILL')
      t.match(await group.said(/^a process ended unexpectedly: another one takes its place/), { level: 'error', pid, pauseMs: 100 })
      t.equal((await fetch(`${group.url}/health`, { headers: { connection: 'close' } })).status, 200)
      await group.said(/^a process has taken the place/)
      t.equal(group.pids().length, 2)
      const response = await fetch(`${group.url}/api/runs/${runId}/events`, { headers: await headers() })
      t.match(parseStream(await response.text()).at(-1), { type: 'done', response: 'the whole' })
    })

    t.test('one that gets SIGTERM by itself ends as it would alone, and is replaced later than the first one was', async t => {
      const [pid] = group.pids()
      process.kill(pid!, 'SIGTERM')
      await group.said(line => line.pid === pid && line.message === 'ended')
      t.match(await group.said(/^a process has ended: another one takes its place/), { level: 'info', pid, pauseMs: 400 })
      await group.said(/^a process has taken the place/, 2)
      t.equal(group.pids().length, 2)
    })

    t.test('SIGTERM lets their runs end, and the exit code is 0', async t => {
      let finish: () => unknown = () => {}
      group.gateway.reply = (response, call, number) => { finish = () => say('Hello', ' again')(response, call, number) }
      const arriving = group.gateway.nextCall()
      const streamed = fetch(`${group.url}/api/agent/execute`, { method: 'POST', headers: await headers(), body: JSON.stringify(BEGUN) })
      await arriving
      const pids = group.pids()
      group.primary.kill('SIGTERM')
      for (const pid of pids) await group.said(line => line.pid === pid && line.message === 'SIGTERM received: ending')
      finish()
      t.equal(textOf(parseStream(await (await streamed).text())), 'Hello again')
      t.same(await group.exited, [0, null])
      t.match(group.lines.at(-1), { message: 'ended' })
    })
  })

  t.test('a signal to all of them at once, as from a terminal, ends each once; also if they are workers of a tier of their own', async t => {
    const group = await start(t, shared, 'worker.js')
    const pids = group.pids()
    t.equal((await fetch(`${group.url}/health`)).status, 200)
    t.equal((await fetch(`${group.url}/api/runs`)).status, 404)
    process.kill(-group.primary.pid!, 'SIGINT')
    t.same(await group.exited, [0, null])
    t.equal(group.lines.filter(({ message }) => /^SIG(INT|TERM) received: ending$/.test(message)).length, 2)
    t.same(pids.filter(isAlive), [])
  })

  t.test('one that does not end is killed within the platform\'s ten seconds, and the exit code is 1', async t => {
    const group = await start(t, shared)
    const pids = group.pids()
    process.kill(pids[0]!, 'SIGSTOP')
    group.primary.kill('SIGTERM')
    t.same(await group.exited, [1, null])
    await untilGone(t, pids)
  })

  t.test('they end with the first one, even if that is killed', async t => {
    const group = await start(t, shared)
    const pids = group.pids()
    group.primary.kill('SIGKILL')
    await group.exited
    await untilGone(t, pids)
  })

  t.test('what keeps them from starting is said once, and the exit code is 1', async t => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    t.teardown(() => { taken.close() })
    const { port } = taken.address() as AddressInfo
    const { code, stderr } = await run(t, 'server.js', [], await variables(t, { ...shared, PORT: String(port) }))
    t.equal(code, 1)
    t.equal(stderr, 'PORT is in use by another program: stop that one, or set PORT to another number\na process ended before it listened\n')
  })
})

t.test('the wait for processes that end fits between the drain and the platform\'s kill', async t => {
  t.ok(CLOSE_MS + PRIMARY_MS < PLATFORM_MS)
})

async function variables (t: Test, more: Record<string, string>, gateway?: GatewayDouble): Promise<Record<string, string>> {
  return {
    HOST: '127.0.0.1',
    PORT: '0',
    WEB_CONCURRENCY: '2',
    SUPABASE_JWT_SECRET: JWT_SECRET,
    AI_GATEWAY_URL: (gateway ?? await startGateway(t)).url,
    DRAIN_SECONDS: '0',
    ...more
  }
}

/** Starts two processes in a group of their own, as a terminal or a platform does, and waits until they listen. */
async function start (t: Test, more: Record<string, string>, program = 'server.js'): Promise<Group> {
  const gateway = await startGateway(t)
  const primary = spawn(...commandOf(program, [], await variables(t, more, gateway)), { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const exited = once(primary, 'exit') as Group['exited']
  t.teardown(async () => {
    if (!hasEnded(primary)) process.kill(-primary.pid!, 'SIGKILL')
    await exited
  })
  const lines: Line[] = []
  const input = createInterface({ input: primary.stdout! })
  const waiting: Array<() => void> = []
  let isClosed = false
  const wake = () => { for (const resolve of waiting.splice(0)) resolve() }
  input.on('line', line => {
    lines.push(JSON.parse(line))
    wake()
  })
  input.once('close', () => {
    isClosed = true
    wake()
  })
  const group: Group = {
    primary,
    url: '',
    listening: { level: '', message: '' },
    gateway,
    lines,
    exited,
    pids: () => childrenOf(primary.pid!),
    async said (what, times = 1) {
      const timeout = setTimeout(() => { input.close() }, PATIENCE_MS)
      for (;;) {
        const found = lines.filter(line => what instanceof RegExp ? what.test(line.message) : what(line))
        if (found.length >= times) {
          clearTimeout(timeout)
          return found[times - 1]!
        }
        if (isClosed) throw new Error(`${what} was not said ${times} times:\n${lines.map(({ message }) => message).join('\n')}`)
        await new Promise<void>(resolve => waiting.push(resolve))
      }
    }
  }
  const listening = await group.said(/^listening at /)
  return Object.assign(group, { listening, url: `http://127.0.0.1:${new URL(listening.message.slice('listening at '.length)).port}` })
}

function hasEnded ({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

async function headers (): Promise<Record<string, string>> {
  // A connection of its own for each request.
  return { ...await bearer(), ...ALL_EVENTS, 'content-type': 'application/json', connection: 'close' }
}

async function begin ({ url }: Group): Promise<{ runId: string }> {
  const response = await fetch(`${url}/api/agent/execute`, { method: 'POST', headers: await headers(), body: JSON.stringify({ ...BEGUN, background: true }) })
  return await response.json() as { runId: string }
}

async function untilGone (t: Test, pids: number[]): Promise<void> {
  const until = Date.now() + PATIENCE_MS
  while (pids.some(isAlive) && Date.now() < until) await delay(10)
  t.same(pids.filter(isAlive), [])
}

function childrenOf (pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap(task => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number))
}

/** A zombie, which nobody has waited for yet, has ended. */
function isAlive (pid: number): boolean {
  return existsSync(`/proc/${pid}/stat`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}
