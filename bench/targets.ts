import { METRICS, type MetricName } from './metrics.js'
import type { Result } from './result.js'
import type { Figure } from './stats.js'
import type { SubjectName } from './subjects/subject.js'

interface Target {
  metric: MetricName
  /** The figure over this subject's; without it the figure itself, or `growth`. */
  over?: SubjectName
  /** The figure at twice its load over the figure. */
  growth?: true
  /** What is aimed at. */
  most?: number
  least?: number
  /** What tables say instead of the title of the metric. */
  title?: string
}

/** What is aimed at for this service. */
const TARGETS: readonly Target[] = [
  { metric: 'cpu_per_mtok_saturated', over: 'pipe', most: 1 },
  { metric: 'cpu_per_mtok_burst8', over: 'pipe', most: 1, title: 'processor s per million tokens, eight frames a write' },
  { metric: 'cpu_per_mtok_burst8_200', over: 'pipe', most: 1.4, title: 'the same, answers of 200 tokens' },
  { metric: 'cpu_per_mtok_paced_500', over: 'pipe', most: 1, title: 'the same, 500 streams at 20 ms a token' },
  { metric: 'cpu_per_mtok_paced_2000', over: 'pipe', most: 1 },
  { metric: 'cpu_per_mtok_slow_5000', over: 'pipe', most: 1.1 },
  { metric: 'mb_slow_5000', over: 'pipe', most: 1 },
  { metric: 'kb_per_stream_5000', over: 'pipe', most: 1 },
  { metric: 'ttft_added_p50_ms', most: 5 },
  { metric: 'ttft_added_p99_ms', over: 'pipe', most: 2 },
  { metric: 'readers_10_over_1', most: 3 },
  { metric: 'ws_over_sse', most: 1 },
  { metric: 'runs_per_second', least: 1000 },
  { metric: 'startup_ms', most: 600 },
  { metric: 'cpu_per_mtok_saturated', growth: true, most: 1.05 },
  { metric: 'cpu_per_mtok_burst8', growth: true, most: 1.05, title: 'processor s per million tokens, eight frames a write' },
  { metric: 'cpu_per_mtok_paced_500', growth: true, most: 1.05, title: 'the same, 500 streams at 20 ms a token' },
  { metric: 'cpu_per_mtok_paced_500', over: 'portkey', most: 0.5, title: 'the same, 500 streams at 20 ms a token' },
  { metric: 'cpu_per_mtok_burst8', over: 'portkey', most: 0.125, title: 'processor s per million tokens, eight frames a write' },
  { metric: 'cpu_per_mtok_paced_500', over: 'aisdk', most: 0.2, title: 'the same, 500 streams at 20 ms a token' },
  { metric: 'cpu_per_mtok_burst8', over: 'aisdk', most: 0.0286, title: 'processor s per million tokens, eight frames a write' },
  { metric: 'cpu_per_mtok_paced_500', over: 'express', most: 0.714, title: 'the same, 500 streams at 20 ms a token' }
]

/** A target with what was measured. */
export interface Judged { title: string, of: string, aim: string, figure: Figure, isReached: boolean }

/** Holds a result against the targets; those of figures that it lacks are left out. */
export function judgeTargets (result: Pick<Result, 'metrics' | 'ratios' | 'growth'>): Judged[] {
  return TARGETS.flatMap(({ metric, over, growth, most, least, title = METRICS[metric].title }) => {
    const figure = over ? result.ratios[metric]?.[over] : (growth ? result.growth : result.metrics)[metric]?.ours
    if (!figure) return []
    const isReached = (most === undefined || figure.median <= most) && (least === undefined || figure.median >= least)
    const of = over ? `over ${over}` : growth ? 'at twice the load over it' : ''
    return [{ title, of, aim: most === undefined ? `at least ${least}` : `at most ${most}`, figure, isReached }]
  })
}
