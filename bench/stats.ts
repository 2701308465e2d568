/** What repeated measurements of one figure came to. */
export interface Figure { median: number, min: number, max: number, runs: number }

/** @param values at least one. */
export function summarize (values: number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median: round(median), min: round(sorted[0]!), max: round(sorted.at(-1)!), runs: sorted.length }
}

/** Ours over each of the others. */
export function ratiosOf<Name extends string> (figures: Partial<Record<Name, Figure>>, ours: Name): Partial<Record<Name, number>> {
  const own = figures[ours]
  if (!own) return {}
  const others = Object.entries<Figure | undefined>(figures).filter(([name, figure]) => name !== ours && figure && figure.median > 0)
  return Object.fromEntries(others.map(([name, figure]) => [name, round(own.median / figure!.median)])) as Partial<Record<Name, number>>
}

/** Four digits that mean something. */
export function round (number: number): number {
  return Number(number.toPrecision(4))
}
