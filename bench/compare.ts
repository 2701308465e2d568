import { METRICS, METRIC_NAMES, type MetricName } from './metrics.js'
import type { Result } from './result.js'
import type { Figure } from './stats.js'

/** However even a figure's runs were: the next day is another day. In parts of the figure. */
const MIN_NOISE = 0.05
/** Of a figure that was taken once nobody knows how restless it is. */
const NOISE_OF_ONE = 0.15

export type Verdict = 'better' | 'same' | 'worse'

/** A figure now beside what it was; worse or better is what is beyond the noise of both. */
export function judge (before: Figure, now: Figure, better: 'less' | 'more'): Verdict {
  const change = (now.median - before.median) * (better === 'less' ? 1 : -1)
  if (Math.abs(change) <= noiseOf(before) + noiseOf(now)) return 'same'
  return change > 0 ? 'worse' : 'better'
}

/** Half of how far the runs lay apart, and never nothing. */
export function noiseOf ({ median, min, max, runs }: Figure): number {
  return Math.max((max - min) / 2, Math.abs(median) * (runs > 1 ? MIN_NOISE : NOISE_OF_ONE) / 2)
}

export interface Comparison { metric: MetricName, before: Figure, now: Figure, verdict: Verdict }

/** Our figures beside those of an earlier result, where both have them. */
export function compare (before: Pick<Result, 'metrics'>, now: Pick<Result, 'metrics'>): Comparison[] {
  return METRIC_NAMES.flatMap(metric => {
    const [old, fresh] = [before.metrics[metric]?.ours, now.metrics[metric]?.ours]
    return old && fresh ? { metric, before: old, now: fresh, verdict: judge(old, fresh, METRICS[metric].better) } : []
  })
}

/** Why figures of two machines cannot be held against each other; undefined where they can. */
export function whyIncomparable (before: Pick<Result, 'machine'>, now: Pick<Result, 'machine'>): string | undefined {
  const differences = (['cpu', 'cores', 'node'] as const).filter(key => before.machine[key] !== now.machine[key])
  if (differences.length === 0) return undefined
  return `The machine is another one: ${differences.map(key => `${key} ${before.machine[key]} then, ${now.machine[key]} now`).join('; ')}.`
}
