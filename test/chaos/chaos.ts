import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { signAccessToken } from '../../src/auth/access-token.js'
import { type BlowName, BLOWS, type Target, type Targets } from './blows.js'
import { askFaces, type FaceOutcome } from './faces/asker.js'
import { startFront } from './faces/front.js'
import type { FaceProgram } from './faces/process.js'
import { type ChaosReport, type Dealt, judge } from './judge.js'
import type { Ledger } from './ledger.js'
import { type Model, type Stamp, startModel } from './model.js'
import { createRandom, pick } from './random.js'
import { AGENT, type Outcome, runReader } from './reader.js'
import { Replica } from './replica.js'

export type { ChaosReport } from './judge.js'

const SECRET = 'a-secret-that-is-only-for-chaos'
const USER = '11111111-1111-4111-8111-111111111111'

/** The duration of a blow, which may be shorter or longer than a lease: after a longer one the runs were taken over. */
const MIN_DURATION_MS = 500
const MAX_DURATION_MS = 9_000
/** The probability that the next blow does not wait for the end of one. */
const OVERLAP = 0.5
/** The time limit for the queue to remove the jobs of runs that have ended. */
const EMPTY_MS = 20_000
const EMPTY_POLL_MS = 200

export interface ChaosOptions extends Omit<Targets, 'replicas'> {
  /** The number of processes; the embedded database permits only one. */
  replicas: number
  /** Whether half of the processes only accept runs, which the others, workers, execute. */
  tiers?: boolean
  /** The number of blows. */
  blows: number
  /** The maximum time between blows, in milliseconds. */
  pause: number
  /** The time before the first blow, in milliseconds, in which the delay of live readers is measured. */
  quiet?: number
  /** The blows to choose from; all by default. */
  only?: string[]
  /** The maximum duration of a blow, in milliseconds. */
  lasting?: number
  /** The number of clients, each of which starts and reads one run after the other. */
  clients: number
  /** Official clients of the service's faces, by which half of the clients ask; without them all are the chaos run's own. */
  faces?: FaceProgram
  variables: Record<string, string>
  ledger: Ledger
  seed: number
  /** A directory for the processes' logs. */
  logs?: string
  say?: (line: string) => void
}

/** Runs the service as real processes under load, injects random faults into it and its services, and checks the outcome. */
export async function runChaos (options: ChaosOptions): Promise<ChaosReport> {
  const model = await startModel(createRandom(options.seed))
  const replicas = createReplicas(options, model)
  try {
    return await runUnderLoad(options, replicas)
  } catch (error) {
    for (const replica of replicas) replica.kill()
    throw error
  } finally {
    model.close()
  }
}

async function runUnderLoad (options: ChaosOptions, replicas: Replica[]): Promise<ChaosReport> {
  await Promise.all(replicas.map(replica => replica.start()))
  const load = await startLoad(options, replicas)
  await delay(options.quiet ?? 0)
  load.endQuiet()
  const dealt = await dealBlows(options, { ...options, replicas })
  const { outcomes, faces } = await load.end()
  const jobs = options.redis ? await findJobs(options.redis.client) : []
  await Promise.all(replicas.map(replica => replica.close()))
  const complaints = replicas.flatMap(replica => replica.complaints)
  return judge({ outcomes, faces, dealt, books: await options.ledger.read(), jobs, complaints, delays: load.delays })
}

function createReplicas ({ replicas, tiers, logs, variables }: ChaosOptions, model: Model): Replica[] {
  return Array.from({ length: replicas }, (_, number) => {
    const isWorker = tiers === true && number >= replicas / 2
    return new Replica({
      number,
      program: isWorker ? 'worker' : 'server',
      logs,
      variables: {
        NODE_ENV: 'development',
        HOST: '127.0.0.1',
        PORT: '0',
        SUPABASE_JWT_SECRET: SECRET,
        AI_GATEWAY_URL: model.url(number),
        RATE_LIMIT_MAX: '1000000',
        MAX_RUNS_PER_USER: '1000',
        DRAIN_SECONDS: '0.5',
        ...variables,
        ...(tiers && !isWorker ? { MAX_CONCURRENT_RUNS: '0' } : {})
      }
    })
  })
}

interface Load {
  delays: { here: number[], elsewhere: number[] }
  endQuiet (): void
  end (): Promise<{ outcomes: Outcome[], faces: FaceOutcome[] }>
}

async function startLoad ({ clients, seed, faces }: ChaosOptions, replicas: Replica[]): Promise<Load> {
  const token = await signAccessToken(SECRET, USER, '24h')
  const delays: Load['delays'] = { here: [], elsewhere: [] }
  const state = { isOver: false, isQuiet: true }
  const onPiece = ({ sentAt, replica: source }: Stamp, replica: number) => {
    if (state.isQuiet) delays[source === replica ? 'here' : 'elsewhere'].push(Date.now() - sentAt)
  }
  const addresses = () => replicas
    .filter(({ options }) => options.program === 'server')
    .map(({ url, options }) => ({ url, replica: options.number }))
  const count = faces ? Math.floor(clients / 2) : 0
  const front = await startFront(addresses, createRandom(seed))
  const asking = faces ? askFaces({ program: faces, count, url: front.url, token, agentId: AGENT, seed, isOver: () => state.isOver }) : []
  const reading = Array.from({ length: clients - count }, async (_, client) => {
    const random = createRandom(seed * 1000 + client)
    const outcomes: Outcome[] = []
    for (let n = 0; !state.isOver; n++) outcomes.push(await runReader({ name: `${client}-${n}`, token, addresses, random, onPiece }))
    return outcomes
  })
  return {
    delays,
    endQuiet () { state.isQuiet = false },
    async end () {
      state.isOver = true
      const ended = { outcomes: (await Promise.all(reading)).flat(), faces: await asking }
      front.close()
      return ended
    }
  }
}

/** Deals blows, which may overlap, but never two at the same target. */
async function dealBlows ({ blows, pause, seed, only, lasting = MAX_DURATION_MS, say }: ChaosOptions, targets: Targets): Promise<Dealt[]> {
  const random = createRandom(seed)
  const dealt: Dealt[] = []
  const underWay = new Map<Target, Promise<void>>()
  while (dealt.length < blows) {
    await delay(pause * (0.3 + 0.7 * random()))
    const { blow, target, ms, overlaps } = choose(random, targets, lasting, only)
    await underWay.get(target)
    dealt.push({ blow, at: Date.now() })
    say?.(`${dealt.length}/${blows} ${blow}${'name' in target ? ` ${target.name}` : ''} ${ms} ms`)
    underWay.set(target, BLOWS[blow].deal(target, ms))
    if (!overlaps) await underWay.get(target)
  }
  await Promise.all(underWay.values())
  return dealt
}

/** The choices depend only on the seed, not on how long blows take. */
function choose (random: () => number, all: Targets, lasting: number, only = Object.keys(BLOWS)) {
  const choices = Object.entries(BLOWS).flatMap(([blow, { weight, targets }]) =>
    only.includes(blow) && targets(all).length > 0 ? [[{ blow: blow as BlowName, targets: targets(all) }, weight] as const] : [])
  const { blow, targets } = pick(random, choices)
  const target = targets[Math.floor(random() * targets.length)]!
  const ms = Math.round(MIN_DURATION_MS + (lasting - MIN_DURATION_MS) * random())
  return { blow, target, ms, overlaps: random() < OVERLAP }
}

/** The jobs that are left in the queue although all runs have ended. */
async function findJobs (redis: Redis): Promise<string[]> {
  for (const until = Date.now() + EMPTY_MS; ;) {
    const [active, ...others] = await Promise.all([
      redis.lrange('jeesi:runs:active', 0, -1),
      ...['prioritized', 'delayed', 'failed'].map(set => redis.zrange(`jeesi:runs:${set}`, '0', '-1')),
      redis.lrange('jeesi:runs:wait', 0, -1)
    ])
    const jobs = [...active.map(id => `${id} (active)`), ...others.flat()]
    if (jobs.length === 0 || Date.now() > until) return jobs
    await delay(EMPTY_POLL_MS)
  }
}
