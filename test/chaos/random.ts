/** Mulberry32: a reproducible sequence of numbers in [0, 1). */
export function createRandom (seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Chooses by weight. */
export function pick<T> (random: () => number, choices: ReadonlyArray<readonly [T, number]>): T {
  let left = random() * choices.reduce((sum, [, weight]) => sum + weight, 0)
  return choices.find(([, weight]) => (left -= weight) < 0)![0]
}

/** The value below which a share of the values lies; 0 if there are none. */
export function quantile (values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? 0
}
