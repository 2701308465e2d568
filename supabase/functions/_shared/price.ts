import type { Usage } from './schemas.ts'

/** What a model costs, in credits. */
export interface Rate { perRun: number, perThousandTokens: number }

/** Rates by model; under '*' that of all others. */
export type Rates = Record<string, Rate>

const DEFAULT_RATE: Rate = { perRun: 1, perThousandTokens: 0 }

export function rateOf (rates: Rates | undefined, model: string): Rate {
  return rates?.[model] ?? rates?.['*'] ?? DEFAULT_RATE
}

/** What has been used so far, priced as it came: each step by the rate of its own model. */
export class Bill {
  #perRun = 0
  #tokens = 0

  /** A run that brought forth nothing costs nothing: what it costs by itself is due with its first output. */
  add (rate: Rate, { totalTokens }: Pick<Usage, 'totalTokens'>): void {
    this.#perRun ||= rate.perRun
    this.#tokens += totalTokens * rate.perThousandTokens / 1000
  }

  /** Credits, whole ones. */
  get credits (): number { return this.#perRun + ceil(this.#tokens) }

  /** What it would come to with so many tokens more. */
  creditsWith (rate: Rate, tokens: number): number {
    return (this.#perRun || rate.perRun) + ceil(this.#tokens + tokens * rate.perThousandTokens / 1000)
  }
}

/** 0.1 + 0.2 is no reason for another credit. */
function ceil (credits: number): number {
  return Math.ceil(Math.round(credits * 1e6) / 1e6)
}
