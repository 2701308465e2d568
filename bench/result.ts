import type { Capacity } from './check.js'
import type { Machine } from './machine.js'
import type { MetricName } from './metrics.js'
import type { Figure } from './stats.js'
import type { SubjectName } from './subjects/subject.js'

export type Figures = Partial<Record<SubjectName, Figure>>
type Numbers = Partial<Record<MetricName, Partial<Record<SubjectName, number>>>>

/** The result of a bench, as it is written to a file and committed. */
export interface Result {
  machine: Machine
  /** ISO 8601. */
  when: string
  commit: string
  metrics: Partial<Record<MetricName, Figures>>
  /** The figure of `ours` over the subject's. */
  ratios: Numbers
  /** A figure at twice its load over the figure. */
  growth: Numbers
  /** `busiest`: the largest part of their cores that the stand-in and the generator used beside a subject. */
  bench: Capacity & { busiest: number }
  remarks: string[]
  /** Why a subject lacks a figure; absent in old results. */
  gaps?: Partial<Record<MetricName, Partial<Record<SubjectName, string>>>>
  /** Subjects that could not be measured, with the reason. */
  leftOut: Partial<Record<SubjectName, string>>
}
