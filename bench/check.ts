import type { Lab } from './lab.js'
import { round } from './stats.js'
import { pacedShape, saturatedShape } from './experiments/tokens.js'
import { direct, perMillion, runTrial } from './trial.js'

/** The limits of the stand-in and the load generator without a subject; they must not be the bottleneck. */
export interface Capacity {
  /** Tokens per second with both on the bench's cores, with one frame per write and with eight. */
  tokensPerSecond: number
  tokensPerSecondBurst8: number
  /** The processor seconds of both per million tokens. */
  cpuPerMtok: number
  /** The time to the first token without a subject, of 500 streams at 20 ms a token. */
  firstTokenP50Ms: number
  firstTokenP99Ms: number
}

export const CAPACITY = ['tokensPerSecond', 'tokensPerSecondBurst8', 'cpuPerMtok', 'firstTokenP50Ms', 'firstTokenP99Ms'] as const satisfies Array<keyof Capacity>

/** Begins a round: what is added to the first token in it is measured from `lab.floor`. */
export async function measureCapacity (lab: Lab): Promise<Capacity> {
  const single = await runTrial(lab, direct, saturatedShape(lab, 1))
  const burst = await runTrial(lab, direct, saturatedShape(lab, 8))
  const { first } = await runTrial(lab, direct, pacedShape(lab, 500))
  lab.floor = first
  return {
    tokensPerSecond: Math.round(single.tokens * 1000 / single.ms),
    tokensPerSecondBurst8: Math.round(burst.tokens * 1000 / burst.ms),
    cpuPerMtok: round(perMillion(single.gatewayMs + single.loadMs, single.tokens)),
    firstTokenP50Ms: round(first.p50Us / 1000),
    firstTokenP99Ms: round(first.p99Us / 1000)
  }
}
