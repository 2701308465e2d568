/** The summary of repeated measurements of one figure. */
export interface Figure { median: number, min: number, max: number, runs: number }

/** @param values must not be empty. */
export function summarize (values: number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median: round(median), min: round(sorted[0]!), max: round(sorted.at(-1)!), runs: sorted.length }
}

/**
 * Divides what was measured in the same round, so that a machine whose speed changes from round to round changes no ratio.
 * @returns undefined if no round has both.
 */
export function summarizeRatio (values: number[] = [], others: number[] = []): Figure | undefined {
  const ratios = values.flatMap((value, round) => others[round] ? [value / others[round]] : [])
  return ratios.length > 0 ? summarize(ratios) : undefined
}

/** Rounds to four significant digits. */
export function round (number: number): number {
  return Number(number.toPrecision(4))
}
