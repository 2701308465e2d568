import type { Lab } from '../lab.js'
import type { MetricName } from '../metrics.js'
import type { Subject } from '../subjects/subject.js'

export type Values = Partial<Record<MetricName, number>>

/** A measurement of a subject that yields one or more figures. */
export interface Experiment {
  metrics: readonly MetricName[]
  /** Whether it measures only this service, because others lack the feature. */
  oursAlone?: boolean
  /** Repetitions per round, for a short experiment or one with a large spread; 1 by default. */
  times?: number
  /** The maximum number of rounds for other subjects, for a long experiment. */
  runsOfOthers?: number
  measure (lab: Lab, subject: Subject): Promise<Values>
  /** Measures the same figures at twice the load. */
  measureDouble? (lab: Lab, subject: Subject): Promise<Values>
}
