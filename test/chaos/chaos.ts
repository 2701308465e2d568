import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { signAccessToken } from '../../src/access-token.js'
import { commandOf } from '../process.js'
import { runReader, type Outcome } from './reader.js'
import type { Ledger } from './ledger.js'

export const SECRET = 'a-secret-that-is-only-for-chaos'
const USER = '11111111-1111-4111-8111-111111111111'

/** What can befall a process, with how often, in parts of the whole. */
const BLOWS = { kill: 5, terminate: 3, freeze: 1 }
/** Longer than a lease, so that a frozen process finds its runs taken over. */
const FREEZE_MS = 8_000

export interface ChaosOptions {
  /** Processes at a time; the embedded database admits one. */
  replicas: number
  /** How many blows are dealt, one after the other. */
  blows: number
  /** Milliseconds between two blows, at the most. */
  pause: number
  /** Clients that start and read runs all the time. */
  clients: number
  variables: Record<string, string>
  ledger: Ledger
  seed: number
  say?: (line: string) => void
}

export interface ChaosReport {
  runs: number
  blows: Record<keyof typeof BLOWS, number>
  disconnects: number
  /** Runs that a client asked for and could not read to their end, or whose text was wrong. */
  lost: number
  /** Runs that exist, or were charged, twice. */
  doubled: number
  /** Runs that never ended. */
  stuck: number
  /** Credits that are not where they belong. */
  miscounted: number
  /** Milliseconds from a blow to the next event of a run that it cut off. */
  gapP50: number
  gapP99: number
  problems: string[]
}

/** Runs the service as real processes, under load, while they are killed, stopped and terminated at random. */
export async function runChaos (options: ChaosOptions): Promise<ChaosReport> {
  const random = createRandom(options.seed)
  const gateway = await startGateway(random)
  const token = await signAccessToken(SECRET, USER, '24h')
  const replicas = await Promise.all(Array.from({ length: options.replicas }, () => startReplica(options, gateway.url)))
  const counts = { kill: 0, terminate: 0, freeze: 0 }
  const blowTimes: number[] = []
  const state = { over: false }

  const clients = Array.from({ length: options.clients }, async (_, client) => {
    const outcomes: Outcome[] = []
    for (let n = 0; !state.over; n++) {
      outcomes.push(await runReader({ name: `${client}-${n}`, token, urls: () => replicas.map(({ url }) => url), random, expected }))
    }
    return outcomes
  })

  for (let n = 0; n < options.blows; n++) {
    await delay(options.pause * (0.3 + 0.7 * random()))
    const replica = replicas[Math.floor(random() * replicas.length)]!
    const blow = pick(random)
    counts[blow]++
    blowTimes.push(Date.now())
    options.say?.(`${n + 1}/${options.blows} ${blow} ${replica.process.pid}`)
    await strike(replica, blow)
    if (replica.process.exitCode !== null || replica.process.signalCode !== null) {
      Object.assign(replica, await startReplica(options, gateway.url))
    }
  }

  state.over = true
  const outcomes = (await Promise.all(clients)).flat()
  await Promise.all(replicas.map(stop))
  gateway.server.closeAllConnections()
  gateway.server.close()
  return judge(outcomes, counts, blowTimes, await options.ledger.read())
}

interface Replica { process: ChildProcess, url: string }

async function startReplica ({ variables }: ChaosOptions, gatewayUrl: string): Promise<Replica> {
  const command = commandOf('server.js', [], {
    NODE_ENV: 'development',
    HOST: '127.0.0.1',
    PORT: '0',
    SUPABASE_JWT_SECRET: SECRET,
    AI_GATEWAY_URL: gatewayUrl,
    RATE_LIMIT_MAX: '1000000',
    MAX_RUNS_PER_USER: '1000',
    DRAIN_SECONDS: '0.5',
    ...variables
  }, [])
  const child = spawn(...command, { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]?.replace('localhost', '127.0.0.1')
    if (url) {
      child.stdout!.resume()
      return { process: child, url }
    }
  }
  throw new Error('a replica did not start')
}

async function strike (replica: Replica, blow: keyof typeof BLOWS): Promise<void> {
  const { process } = replica
  if (blow === 'freeze') {
    process.kill('SIGSTOP')
    await delay(FREEZE_MS)
    process.kill('SIGCONT')
    return
  }
  process.kill(blow === 'kill' ? 'SIGKILL' : 'SIGTERM')
  await once(process, 'exit')
}

async function stop ({ process }: Replica): Promise<void> {
  process.kill('SIGTERM')
  await once(process, 'exit')
}

function pick (random: () => number): keyof typeof BLOWS {
  let left = random() * Object.values(BLOWS).reduce((sum, weight) => sum + weight)
  for (const [blow, weight] of Object.entries(BLOWS)) {
    if ((left -= weight) < 0) return blow as keyof typeof BLOWS
  }
  return 'kill'
}

/** What the model says to a question; any reader can tell from it whether a piece is missing or doubled. */
export function expected (name: string): string[] {
  const length = 40 + [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 160
  return Array.from({ length }, (_, n) => `${name}:${n}é `)
}

/** A model that says the text that belongs to the question, a piece every few milliseconds, and now and then breaks off. */
async function startGateway (random: () => number): Promise<{ server: Server, url: string }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { messages } = JSON.parse(Buffer.concat(chunks).toString())
    if (random() < 0.05) return response.writeHead(503).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const breaksAt = random() < 0.05 ? Math.floor(random() * 50) : -1
    for (const [n, content] of expected(messages.at(-1).content).entries()) {
      if (response.destroyed) return
      if (n === breaksAt) return response.destroy()
      response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`)
      await delay(5 + 10 * random())
    }
    response.end('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}

type Books = Awaited<ReturnType<Ledger['read']>>

function judge (outcomes: Outcome[], blows: ChaosReport['blows'], blowTimes: number[], books: Books): ChaosReport {
  const problems = outcomes.flatMap(({ problem }) => problem ?? [])
  const gaps = outcomes.flatMap(({ cuts }) => cuts).flatMap(({ brokenAt, nextAt }) => {
    const blow = blowTimes.findLast(time => time <= brokenAt + 50)
    return blow === undefined || brokenAt - blow > FREEZE_MS + 1000 ? [] : nextAt - blow
  }).sort((a, b) => a - b)
  const settled = books.granted - books.remaining
  const miscounted = Math.abs(settled - books.charged) + Math.abs(books.charged - books.ledger) + Math.abs(books.reserved)
  if (miscounted > 0) problems.push(`books: ${JSON.stringify(books)}`)
  return {
    runs: outcomes.length,
    blows,
    disconnects: outcomes.reduce((sum, { disconnects }) => sum + disconnects, 0),
    lost: outcomes.filter(({ problem }) => problem).length,
    doubled: books.doubled,
    stuck: books.unfinished,
    miscounted,
    gapP50: gaps[Math.floor(gaps.length / 2)] ?? 0,
    gapP99: gaps[Math.floor(gaps.length * 0.99)] ?? 0,
    problems
  }
}

/** Mulberry32: a sequence that a seed repeats. */
function createRandom (seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
