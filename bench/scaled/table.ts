import type { Figure } from '../stats.js'
import { renderColumns, short } from '../table.js'
import { COST_NAMES, COSTS, SCALED, SCALED_NAMES, type Scaled, type ScaledName } from './metrics.js'

/** Renders each figure with its spread, what is aimed at, and whether it is reached. */
export function renderScaled (scaled: Scaled): string {
  const costs = COST_NAMES.map(name => [COSTS[name].title, withSpread(scaled.costs[name]), '', ''])
  return [
    renderColumns([['', 'measured', 'aimed at', ''], ...scaledRows(scaled)]),
    '',
    renderColumns([['ms of a processor', '', '', ''], ...costs]),
    '',
    ...scaled.remarks
  ].join('\n')
}

export function scaledRows ({ figures }: Pick<Scaled, 'figures'>): string[][] {
  return SCALED_NAMES.map(name => [SCALED[name].title, withSpread(figures[name]), aimOf(name), verdictOf(name, figures[name])])
}

export function costRows ({ costs }: Pick<Scaled, 'costs'>): string[][] {
  return COST_NAMES.map(name => [COSTS[name].title, withSpread(costs[name])])
}

export function withSpread ({ median, min, max, runs }: Figure): string {
  return runs > 1 ? `${short(median)} (${short(min)} to ${short(max)})` : short(median)
}

interface Aim { title: string, atLeast?: number, atMost?: number }

function aimOf (name: ScaledName): string {
  const { atLeast, atMost }: Aim = SCALED[name]
  return atLeast !== undefined ? `at least ${atLeast}` : atMost !== undefined ? `at most ${atMost}` : ''
}

function verdictOf (name: ScaledName, { median }: Figure): string {
  const { atLeast, atMost }: Aim = SCALED[name]
  if (atLeast === undefined && atMost === undefined) return ''
  return (atLeast === undefined || median >= atLeast) && (atMost === undefined || median <= atMost) ? 'reached' : 'missed'
}
