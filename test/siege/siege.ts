import { setMaxListeners } from 'node:events'
import { constants, setPriority } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { Replica } from '../chaos/replica.js'
import { type AttackName, ATTACKS } from './attacks/index.js'
import type { Felt, HonestUser } from './honest.js'
import { HonestProcess } from './honest-process.js'
import { JWT_SECRET, World } from './world.js'

/** The heap of the smallest process that the service is meant for, in MiB. */
const HEAP_MB = 512
const HONEST_USERS = 10
/** How long honest users go on after an attack: what it left behind is felt then. */
const AFTERMATH_MS = 3_000
/** A stall that is this much longer than the machine's own is the service's, in milliseconds. */
export const MAX_STALL_MS = 1_000

export interface SiegeOptions {
  /** A PostgreSQL server on which a database may be made. */
  server: string
  /** Processes; more than one need `redisUrl`. */
  replicas: number
  redisUrl?: string
  only?: AttackName[]
  /** How long each attack lasts, in milliseconds. */
  lasting: number
  /** Whether an answer that is later than without an attack, by a second or more, is a fault too. On a machine that does other work it is not. */
  isCalm?: boolean
  /** A directory for the processes' logs. */
  logs?: string
  say?: (line: string) => void
}

/** What honest users felt of one attack. */
export interface Verdict extends Felt {
  attack: AttackName | 'nothing'
  /** Requests that were not as they would have been without it. */
  altered: number
  /** What may not be; empty if the attack did nothing to anybody. */
  faults: string[]
}

/** Attacks the service in turn, in each way, while ten honest users run agents. The first verdict is of no attack. */
export async function besiege (options: SiegeOptions): Promise<Verdict[]> {
  const world = await World.create(options.server)
  const honest = await HonestProcess.start()
  const replicas: Replica[] = []
  try {
    replicas.push(...await startReplicas(options, world, honest.model))
    await meet(honest, world, replicas)
    // Attackers, in this process, are on machines of their own: here they shall not take the processor from who is attacked.
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
    const verdicts: Verdict[] = []
    for (const name of ['nothing' as const, ...options.only ?? Object.keys(ATTACKS) as AttackName[]]) {
      const verdict = await attack(name, options, world, honest, replicas)
      if (options.isCalm && isLate(verdict, verdicts[0])) verdict.faults.push(`an answer was ${verdict.latestAnswer} ms late`)
      options.say?.(describe(verdict))
      verdicts.push(verdict)
    }
    return verdicts
  } finally {
    honest.leave()
    for (const replica of replicas) replica.kill()
    await world.close()
  }
}

async function startReplicas ({ replicas, redisUrl, logs }: SiegeOptions, world: World, model: string): Promise<Replica[]> {
  const started = Array.from({ length: replicas }, (_, number) => new Replica({
    number,
    program: 'server',
    isDirect: true,
    nodeOptions: [`--max-old-space-size=${HEAP_MB}`],
    logs,
    variables: {
      NODE_ENV: 'development',
      HOST: '127.0.0.1',
      PORT: '0',
      SUPABASE_JWT_SECRET: JWT_SECRET,
      SUPABASE_DB_URL: world.databaseUrl,
      AI_GATEWAY_URL: model,
      ALLOW_PRIVATE_TOOL_HOSTS: '127.0.0.1',
      SCHEDULES: 'on',
      ...(redisUrl ? { REDIS_URL: redisUrl } : {})
    }
  }))
  await Promise.all(started.map(replica => replica.start()))
  world.urls = started.map(({ url }) => url)
  return started
}

async function meet (honest: HonestProcess, world: World, replicas: Replica[]): Promise<void> {
  const users: HonestUser[] = []
  while (users.length < HONEST_USERS) {
    const user = await world.createUser(100_000)
    users.push({ token: user.token, agentId: await world.createAgent(user) })
  }
  honest.meet(replicas.map(({ url, pid }) => ({ url, pid })), users)
}

async function attack (name: Verdict['attack'], { lasting }: SiegeOptions, world: World, honest: HonestProcess, replicas: Replica[]): Promise<Verdict> {
  const prepared = name === 'nothing' ? undefined : await ATTACKS[name].prepare(world)
  honest.start()
  const signal = AbortSignal.timeout(lasting)
  setMaxListeners(0, signal)
  const [failure] = await Promise.all([prepared?.(signal).then(() => undefined, String), delay(lasting)])
  await delay(AFTERMATH_MS)
  const felt = await honest.stop()
  const complaints = replicas.flatMap(replica => replica.complaints.splice(0))
  return { attack: name, ...felt, faults: [...faultsOf(felt), ...failure ? [failure] : [], ...complaints] }
}

/** Whether an answer of an honest user was later than the latest without an attack, by more than a stall may take. */
function isLate ({ latestAnswer, machineStall }: Verdict, calm?: Verdict): boolean {
  return calm !== undefined && latestAnswer > calm.latestAnswer + machineStall + MAX_STALL_MS
}

function faultsOf ({ lost, altered, longestStall, machineStall, problems }: Felt & { altered: number }): string[] {
  return [
    ...lost > 0 ? [`${lost} lost: ${problems.slice(0, 3).join('; ')}`] : [],
    ...altered > 0 ? [`${altered} requests to the model were altered`] : [],
    ...longestStall > machineStall + MAX_STALL_MS ? [`/health stalled for ${longestStall} ms`] : []
  ]
}

function describe ({ attack, answers, lost, refused, latestAnswer, longestStall, machineStall, faults }: Verdict): string {
  const figures = `${answers} answers, ${lost} lost, ${refused} refused, latest answer +${latestAnswer} ms, longest stall ${longestStall} ms (machine ${machineStall} ms)`
  return `${faults.length === 0 ? 'held' : 'FELL'}  ${attack.padEnd(18)} ${figures}${faults.map(fault => `\n      ${fault}`).join('')}`
}
