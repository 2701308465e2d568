import type { Usage } from './schemas.ts'

/** The price of a model, in credits. */
export interface Rate { perRun: number, perThousandTokens: number }

/** Rates by model; the rate of `*` applies to all other models. */
export type Rates = Record<string, Rate>

const DEFAULT_RATE: Rate = { perRun: 1, perThousandTokens: 0 }

export function rateOf (rates: Rates | undefined, model: string): Rate {
  return rates?.[model] ?? rates?.['*'] ?? DEFAULT_RATE
}

/** The price of a run so far. Each step is priced by the rate of its own model. */
export class Bill {
  #perRun = 0
  #tokens = 0

  /** @param isOutput whether there was output: the price per run is due with the first of it, that of tokens without it too. */
  add (rate: Rate, { totalTokens }: Pick<Usage, 'totalTokens'>, isOutput = true): void {
    if (isOutput) this.#perRun ||= rate.perRun
    this.#tokens += totalTokens * rate.perThousandTokens / 1000
  }

  /** Whole credits. */
  get credits (): number { return this.#perRun + ceil(this.#tokens) }

  /** The credits that the run would cost after this many more tokens. */
  creditsWith (rate: Rate, tokens: number): number {
    return (this.#perRun || rate.perRun) + ceil(this.#tokens + tokens * rate.perThousandTokens / 1000)
  }
}

/** The price of a run of one step, in whole credits. */
export function priceOf (rates: Rates | undefined, model: string, usage: Pick<Usage, 'totalTokens'>, hasOutput = true): number {
  const bill = new Bill()
  bill.add(rateOf(rates, model), usage, hasOutput)
  return bill.credits
}

/** Rounds up, except for the error of floating point: 0.1 + 0.2 must not cost a credit more than 0.3. */
function ceil (credits: number): number {
  return Math.ceil(Math.round(credits * 1e6) / 1e6)
}
