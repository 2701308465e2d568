import type { Lab } from '../lab.js'
import type { MetricName } from '../metrics.js'
import type { Subject, SubjectName } from '../subjects/subject.js'

export type Values = Partial<Record<MetricName, number>>

/** A measurement of a subject that yields one or more figures. */
export interface Experiment {
  metrics: readonly MetricName[]
  /** Whom it measures: all by default; `ours` alone where others lack the feature. */
  subjects?: readonly SubjectName[]
  /** Repetitions per round, for a short experiment or one with a large spread; 1 by default. */
  times?: number
  measure (lab: Lab, subject: Subject): Promise<Values>
  /** Measures the same figures at twice the load; of `ours` and of the untouched pipe. */
  measureDouble? (lab: Lab, subject: Subject): Promise<Values>
}
