import type { Comparison } from './compare.js'
import { METRICS, METRIC_NAMES } from './metrics.js'
import type { Result } from './result.js'
import type { Figure } from './stats.js'
import { SUBJECTS } from './subjects/subject.js'

/** Renders a table with a row per figure and a column per subject, each with its spread and its growth at twice the load. */
export function renderTable (result: Result): string {
  const { metrics, growth, gaps, machine } = result
  const names = SUBJECTS.filter(name => METRIC_NAMES.some(metric => metrics[metric]?.[name] ?? gaps[metric]?.[name]))
  const rows = METRIC_NAMES.filter(metric => metrics[metric] ?? gaps[metric]).map(metric => [
    METRICS[metric].title,
    ...names.map(name => gaps[metric]?.[name] ? 'none' : cell(metrics[metric]?.[name], growth[metric]?.[name]?.median))
  ])
  const notes = [
    ...Object.entries(result.leftOut).map(([name, reason]) => `${name} is left out: ${reason}`),
    ...METRIC_NAMES.flatMap(metric => Object.entries(gaps[metric] ?? {}).map(([name, reason]) => `${name} has no ${metric}: ${reason}`))
  ]
  return [renderColumns([['', ...names], ...rows]), '', '± is half of the spread of the runs; ×n is the figure at twice the load over this one (for KB: 5,000 streams over 1,000).', ...notes, ...result.remarks, `${renderCapacity(result)} ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}.`].join('\n')
}

function cell (figure: Figure | undefined, growth: number | undefined): string {
  if (!figure) return ''
  const spread = figure.runs > 1 ? ` ±${short((figure.max - figure.min) / 2)}` : ''
  return `${short(figure.median)}${spread}${growth === undefined ? '' : ` ×${short(growth)}`}`
}

export function renderCapacity ({ bench }: Pick<Result, 'bench'>): string {
  return `The stand-in and the load generator alone, both on one core: ${short(bench.tokensPerSecond.median / 1e6)} million tokens a second, ` +
    `${short(bench.tokensPerSecondBurst8.median / 1e6)} by eight frames a write; ${short(bench.cpuPerMtok.median)} processor s per million. ` +
    `With a subject between them they used at most ${Math.round(bench.busiest * 100)} % of their cores.`
}

export function renderComparison (comparisons: Comparison[]): string {
  const rows = comparisons.map(({ metric, before, now, verdict }) => [METRICS[metric].title, short(before.median), short(now.median), verdict])
  return renderColumns([['ours', 'then', 'now', ''], ...rows])
}

/** Rounds for display: to two significant digits, or three from ten on. */
export function short (number: number): string {
  const digits = Math.abs(number) >= 10 ? 3 : 2
  return Math.abs(number) >= 1000 ? Math.round(number).toLocaleString('en') : String(Number(number.toPrecision(digits)))
}

export function renderColumns (rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  return rows.map(row => row.map((text, column) => column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!)).join('  ').trimEnd()).join('\n')
}
