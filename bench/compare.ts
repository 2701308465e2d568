import { METRICS, METRIC_NAMES, type MetricName } from './metrics.js'
import type { Result } from './result.js'
import type { Figure } from './stats.js'

/** The least noise of a figure, as a part of it: even figures that agree today differ tomorrow. */
const MIN_NOISE = 0.05
/** The noise of a figure that was measured once, whose spread is unknown. */
const NOISE_OF_ONE = 0.15

export type Verdict = 'better' | 'same' | 'worse'

/** Compares a figure with an earlier one: better or worse only if the change exceeds the noise of both. */
export function judge (before: Figure, now: Figure, better: 'less' | 'more'): Verdict {
  const change = (now.median - before.median) * (better === 'less' ? 1 : -1)
  if (Math.abs(change) <= noiseOf(before) + noiseOf(now)) return 'same'
  return change > 0 ? 'worse' : 'better'
}

/** Half of the spread of the runs, but at least a part of the median. */
export function noiseOf ({ median, min, max, runs }: Figure): number {
  return Math.max((max - min) / 2, Math.abs(median) * (runs > 1 ? MIN_NOISE : NOISE_OF_ONE) / 2)
}

export interface Comparison { metric: MetricName, before: Figure, now: Figure, verdict: Verdict }

/** Compares the figures of `ours` that two results have in common. */
export function compare (before: Pick<Result, 'metrics'>, now: Pick<Result, 'metrics'>): Comparison[] {
  return METRIC_NAMES.flatMap(metric => {
    const [old, fresh] = [before.metrics[metric]?.ours, now.metrics[metric]?.ours]
    return old && fresh ? { metric, before: old, now: fresh, verdict: judge(old, fresh, METRICS[metric].better) } : []
  })
}

/** Says why two results cannot be compared; undefined if they come from equal machines. */
export function whyIncomparable (before: Pick<Result, 'machine'>, now: Pick<Result, 'machine'>): string | undefined {
  const differences = (['cpu', 'cores', 'node'] as const).filter(key => before.machine[key] !== now.machine[key])
  if (differences.length === 0) return undefined
  return `The machine is another one: ${differences.map(key => `${key} ${before.machine[key]} then, ${now.machine[key]} now`).join('; ')}.`
}
