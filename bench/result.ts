import type { Capacity } from './check.js'
import type { Machine } from './machine.js'
import type { MetricName } from './metrics.js'
import type { Scaled } from './scaled/metrics.js'
import type { Figure } from './stats.js'
import type { SubjectName } from './subjects/subject.js'

export type Figures = Partial<Record<SubjectName, Figure>>
type Table = Partial<Record<MetricName, Figures>>

/** Where and when something was measured, and of what. */
export interface Origin {
  machine: Machine
  /** ISO 8601. */
  when: string
  commit: string
  /** How often each figure was taken, at the least. */
  looks: number
}

/** The result of a bench by one version of Node.js. */
export interface Result extends Origin {
  metrics: Table
  /** The figure of `ours` over the subject's, of the same round. */
  ratios: Table
  /** A figure at twice its load over the figure, of the same round. */
  growth: Table
  bench: Record<keyof Capacity, Figure> & {
    /** The largest part of their cores that the stand-in and the generator used beside a subject. */
    busiest: number
  }
  remarks: string[]
  /** Why a subject lacks a figure. */
  gaps: Partial<Record<MetricName, Partial<Record<SubjectName, string>>>>
  /** Subjects that could not be measured, with the reason. */
  leftOut: Partial<Record<SubjectName, string>>
}

/** What is written to a file and committed: a result for each version of Node.js, that of the deployed one first. */
export interface Report {
  results: Result[]
  /** Several processes beside Redis. */
  scaled?: Scaled
}

/** Takes what was measured anew in place of what an earlier report has of it. */
export function merge (earlier: Report, { results, scaled = earlier.scaled }: Report): Report {
  const kept = earlier.results.filter(({ machine }) => !results.some(result => majorOf(result.machine.node) === majorOf(machine.node)))
  const byVersion = [...kept, ...results].sort((a, b) => majorOf(b.machine.node) - majorOf(a.machine.node))
  return { results: byVersion, ...scaled && { scaled } }
}

/** The result by a version of Node.js. */
export function resultOf ({ results }: Report, version: string): Result | undefined {
  return results.find(({ machine }) => majorOf(machine.node) === majorOf(version))
}

/** 24 of `v24.1.0`. */
export function majorOf (version: string): number {
  return Number(/^v(\d+)/.exec(version)?.[1] ?? NaN)
}
