import type { Lab } from './lab.js'
import { round } from './stats.js'
import { firstTokenDirect, saturatedShape } from './experiments/tokens.js'
import { direct, perMillion, runTrial } from './trial.js'

/** What the stand-in and the load generator can do by themselves: they must not be what is measured. */
export interface Capacity {
  /** Tokens a second, both on the bench's core, one frame a chunk and eight. */
  tokensPerSecond: number
  tokensPerSecondBurst8: number
  /** Their processor seconds a million tokens, together. */
  cpuPerMtok: number
  /** The time to the first token with nothing between, 500 streams at 20 ms a token. */
  firstTokenP50Ms: number
  firstTokenP99Ms: number
}

export async function measureCapacity (lab: Lab): Promise<Capacity> {
  const single = await runTrial(lab, direct, saturatedShape(lab, 1))
  const burst = await runTrial(lab, direct, saturatedShape(lab, 8))
  const first = await firstTokenDirect(lab)
  return {
    tokensPerSecond: Math.round(single.tokens * 1000 / single.ms),
    tokensPerSecondBurst8: Math.round(burst.tokens * 1000 / burst.ms),
    cpuPerMtok: round(perMillion(single.gatewayMs + single.loadMs, single.tokens)),
    firstTokenP50Ms: round(first.p50Us / 1000),
    firstTokenP99Ms: round(first.p99Us / 1000)
  }
}
