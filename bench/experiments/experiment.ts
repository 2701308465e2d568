import type { Lab } from '../lab.js'
import type { MetricName } from '../metrics.js'
import type { Subject } from '../subjects/subject.js'

export type Values = Partial<Record<MetricName, number>>

/** One way of looking at a subject, which may show several figures. */
export interface Experiment {
  metrics: readonly MetricName[]
  /** It asks for what only this service has. */
  oursAlone?: boolean
  /** How often it is done where others are done once: it is short, or its figures are restless. */
  times?: number
  /** In how many runs it is done with other subjects, whose figures nobody judges: it is long. */
  runsOfOthers?: number
  measure (lab: Lab, subject: Subject): Promise<Values>
  /** The same figures at twice the load, where that says something. */
  measureDouble? (lab: Lab, subject: Subject): Promise<Values>
}
