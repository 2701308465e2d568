import { setTimeout as delay } from 'node:timers/promises'
import type { Lab } from './lab.js'
import { Load, promptOf, startGateway, type Gateway, type LoadOptions, type Mark, type Mode } from './native.js'
import { cpuMs } from './proc.js'
import { post, completion, type Server, type Stores, type Subject } from './subjects/subject.js'

/** Above this share of their cores, the stand-in and the generator may be the bottleneck. */
const MAX_TOOL_SHARE = 0.85

/** The part of a paced load's tokens below which a server is considered too slow for it. */
const MIN_PACE = 0.9
/** Half of Node's listen backlog (511), beyond which the kernel resets connections. */
export const MAX_SILENT = 250

const QUICK_ANSWERS = { delayMs: 0, firstMs: 0, tokens: 50, burst: 1, connections: 64 }
const WARM_TIMEOUT = 30_000
const WARM_POLL_MS = 100
/** The time that processes take to settle after they were bound to other cores. */
const SETTLED_MS = 500

/** The parameters of a load and its measurement. */
export interface Shape extends Mode, Pick<LoadOptions, 'connections' | 'rampMs' | 'maxSilent' | 'roundUs' | 'readersPerRun'> {
  /**
   * The number of quick answers before the load. A cold server delays its first streams, so that they begin together; if all
   * streams are equally long, their successors then begin together, too.
   */
  quickAnswers?: number
  /** The warm-up before the window, for the compiler, pools and buffers. */
  warmMs: number
  /** The number of streams that must have ended before the window begins: on a busy machine time alone is no warm-up. */
  warmStreams?: number
  windowMs: number
  overSocket?: boolean
}

/** The figures of one window. */
export interface Outcome extends Mark {
  /** Processor time of the server, the stand-in and the load generator, in milliseconds. */
  serverMs: number
  gatewayMs: number
  loadMs: number
  /** What the stores of the subject spent, if it says so. */
  stores?: Stores
}

type TrialSubject = Pick<Subject, 'start' | 'format'> & { name?: string }

/** Starts a subject, applies a load, and measures one window. */
export async function runTrial (lab: Lab, subject: TrialSubject, shape: Shape): Promise<Outcome> {
  return withServer(lab, subject, async (server, gateway) => {
    if (shape.quickAnswers) await answerQuickly(lab, subject, server, shape.quickAnswers)
    const load = startLoad(lab, subject, server, shape)
    try {
      await warmUp(load, shape)
      if (server.settle) {
        await server.settle()
        await delay(SETTLED_MS)
      }
      const outcome = await measureWindow(load, server, gateway.program.pid, shape.windowMs)
      if (subject !== direct) addRemarks(lab, subject, shape, outcome)
      return outcome
    } finally {
      await load.stop()
    }
  })
}

export async function withServer<T> (
  lab: Lab, subject: Pick<Subject, 'start'>, use: (server: Server, gateway: Gateway) => Promise<T>
): Promise<T> {
  const gateway = await startGateway(lab.directory, lab.cores?.bench)
  try {
    const server = await subject.start(lab, gateway.url)
    try {
      return await use(server, gateway)
    } finally {
      await server.stop()
    }
  } finally {
    await gateway.program.stop('SIGKILL')
  }
}

export function startLoad (lab: Lab, { format }: Pick<Subject, 'format'>, server: Server, shape: Omit<Shape, 'warmMs' | 'windowMs'> & { streams?: number }): Load {
  const prompt = promptOf(shape)
  return new Load(lab.directory, {
    ...shape,
    ...(shape.overSocket ? { ...server.socketRequests!(prompt), format: 'socket' } : { ...server.requests(prompt), format }),
    ports: server.ports ?? [server.port]
  }, lab.cores?.bench)
}

/** The stand-in itself as a subject, to measure the limits of the bench and the time to the first token without a server between. */
export const direct = {
  format: 'openai' as const,
  start: async (_: Lab, upstream: string): Promise<Server> => ({
    pid: process.pid,
    port: Number(new URL(upstream).port),
    startupMs: 0,
    requests: prompt => ({ requests: [post('/v1/chat/completions', {}, completion(prompt))] }),
    stop: async () => {}
  })
}

/** Makes a server give short answers, without measuring. */
export async function answerQuickly (lab: Lab, subject: Pick<Subject, 'format'>, server: Server, streams: number): Promise<void> {
  const load = startLoad(lab, subject, server, { ...QUICK_ANSWERS, streams })
  await load.ended().finally(() => load.stop())
}

async function warmUp (load: Load, { warmMs, warmStreams = 0 }: Shape): Promise<void> {
  await delay(warmMs)
  const until = Date.now() + WARM_TIMEOUT
  for (let ended = 0; ended < warmStreams && Date.now() < until;) {
    ended += (await load.mark()).streams
    await delay(WARM_POLL_MS)
  }
}

async function measureWindow (load: Load, server: Server, gateway: number, windowMs: number): Promise<Outcome> {
  await load.mark()
  const spent = () => Promise.all([spentBy(server), cpuMs(gateway), server.readStores?.()])
  const before = await spent()
  await delay(windowMs)
  const [mark, after] = await Promise.all([load.mark(), spent()])
  if (mark.tokens === 0) throw new Error(`no token came in ${Math.round(mark.ms)} ms`)
  const stores = before[2] && after[2] && { redisMs: after[2].redisMs - before[2].redisMs, databaseMs: after[2].databaseMs - before[2].databaseMs }
  return { ...mark, serverMs: after[0] - before[0], gatewayMs: after[1] - before[1], loadMs: mark.cpuMs, ...stores && { stores } }
}

/** Processor time of all processes of a server, in milliseconds. */
export async function spentBy ({ pid, otherPids = [] }: Server): Promise<number> {
  const times = await Promise.all([pid, ...otherPids].map(cpuMs))
  return times.reduce((sum, time) => sum + time, 0)
}

/** Remarks on what a figure does not show: tools that are the bottleneck, refused requests, a server that is too slow. */
function addRemarks (lab: Lab, { name = 'ours' }: TrialSubject, shape: Shape, { gatewayMs, loadMs, ms, refused, tokens }: Outcome): void {
  const { connections, delayMs } = shape
  // Two single-threaded tools, which share a core or have one each.
  const share = (gatewayMs + loadMs) / ms / (lab.cores && lab.cores.bench.length > 1 ? 2 : 1)
  lab.busiest = Math.max(lab.busiest, share)
  const load = `${connections} connections${delayMs > 0 ? ` at ${delayMs} ms a token` : ''}`
  const pace = delayMs > 0 ? paceOf({ tokens, ms }, shape) : 1
  const remark = (kind: string, text: string) => lab.remarks.set(`${kind} ${name} ${load}`, text)
  if (pace < MIN_PACE) lab.tooSlow.add(`${name} ${connections}`)
  if (pace < MIN_PACE) remark('pace', `${name} was too slow for ${load}: it passed on ${Math.round(pace * 100)} % of their tokens, and its figure is that of a full core.`)
  if (refused > 0) remark('refused', `${name} refused ${refused} requests (429 or 503) under ${load}.`)
  if (share > MAX_TOOL_SHARE) remark('busy', `The bench's own tools used ${Math.round(share * 100)} % of their cores beside ${name} under ${load}.`)
}

/** The part of a paced load's tokens that came. */
export function paceOf ({ tokens, ms }: Pick<Outcome, 'tokens' | 'ms'>, { connections, firstMs, delayMs, tokens: length }: Shape): number {
  return tokens / ms / (connections * length / (firstMs + delayMs * length))
}

/** Processor seconds per million tokens, which are also microseconds per token. */
export function perMillion (ms: number, tokens: number): number {
  return ms * 1000 / tokens
}
