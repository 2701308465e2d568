import type { Usage } from './usage.ts'

/** What a model costs, in credits. */
export interface Rate { perRun: number, perThousandTokens: number }

/** Rates by model; under '*' that of all others. */
export type Rates = Record<string, Rate>

const DEFAULT_RATE: Rate = { perRun: 1, perThousandTokens: 0 }

/** What a run with output costs, in whole credits; without output it costs nothing. */
export function priceOf (rates: Rates | undefined, model: string, { totalTokens }: Pick<Usage, 'totalTokens'>): number {
  const { perRun, perThousandTokens } = rates?.[model] ?? rates?.['*'] ?? DEFAULT_RATE
  // 0.1 + 0.2 is no reason for another credit.
  return perRun + Math.ceil(Math.round(totalTokens * perThousandTokens * 1000) / 1e6)
}
