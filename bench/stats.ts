/** The summary of repeated measurements of one figure. */
export interface Figure { median: number, min: number, max: number, runs: number }

/** @param values must not be empty. */
export function summarize (values: number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median: round(median), min: round(sorted[0]!), max: round(sorted.at(-1)!), runs: sorted.length }
}

/** Divides our median by that of each other subject. */
export function ratiosOf<Name extends string> (figures: Partial<Record<Name, Figure>>, ours: Name): Partial<Record<Name, number>> {
  const own = figures[ours]
  if (!own) return {}
  const others = Object.entries<Figure | undefined>(figures).filter(([name, figure]) => name !== ours && figure && figure.median > 0)
  return Object.fromEntries(others.map(([name, figure]) => [name, round(own.median / figure!.median)])) as Partial<Record<Name, number>>
}

/** Rounds to four significant digits. */
export function round (number: number): number {
  return Number(number.toPrecision(4))
}
