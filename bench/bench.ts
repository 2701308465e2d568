import { measureCapacity } from './check.js'
import { experiments } from './experiments/index.js'
import type { Experiment, Values } from './experiments/experiment.js'
import type { Lab } from './lab.js'
import { readCommit, readMachine } from './machine.js'
import { METRIC_NAMES, type MetricName } from './metrics.js'
import type { Result } from './result.js'
import { ratiosOf, round, summarize } from './stats.js'
import { subjects } from './subjects/index.js'
import type { Subject, SubjectName } from './subjects/subject.js'

export interface BenchOptions {
  /** How often each figure is taken, each time of each subject in turn. */
  runs: number
  subjects: readonly SubjectName[]
  metrics: readonly MetricName[]
  /** Whether figures are taken at twice their load, too. */
  growth: boolean
}

type Taken = Map<MetricName, Map<SubjectName, number[]>>

/** Measures what is asked for, and tells what it is about. */
export async function runBench (lab: Lab, options: BenchOptions): Promise<Result> {
  lab.say('The stand-in and the load generator by themselves …')
  const bench = await measureCapacity(lab)
  const leftOut: Result['leftOut'] = {}
  const present: Subject[] = []
  for (const subject of options.subjects.map(name => subjects[name])) {
    const reason = await subject.prepare?.(lab)
    if (reason) leftOut[subject.name] = reason
    else present.push(subject)
  }
  const chosen = experiments.filter(({ metrics }) => metrics.some(metric => options.metrics.includes(metric)))
  const taken: Taken = new Map()
  const doubled: Taken = new Map()
  for (let run = 1; run <= options.runs; run++) {
    for (const experiment of chosen) {
      for (const subject of present) await take(lab, experiment, subject, run, taken)
    }
  }
  for (const experiment of options.growth ? chosen : []) {
    for (const subject of present) await takeDouble(lab, experiment, subject, doubled)
  }
  return {
    machine: readMachine(),
    when: new Date().toISOString(),
    commit: readCommit(),
    ...summarizeAll(taken, doubled, options),
    bench: { ...bench, busiest: round(lab.busiest) },
    remarks: lab.remarks,
    leftOut
  }
}

async function take (lab: Lab, experiment: Experiment, subject: Subject, run: number, taken: Taken): Promise<void> {
  if (experiment.oursAlone && subject.name !== 'ours') return
  for (let n = 0; n < (experiment.times ?? 1); n++) {
    note(taken, subject.name, await tell(lab, `${run}`, subject, experiment, () => experiment.measure(lab, subject)))
  }
}

async function takeDouble (lab: Lab, experiment: Experiment, subject: Subject, doubled: Taken): Promise<void> {
  if (!experiment.measureDouble || (experiment.oursAlone && subject.name !== 'ours')) return
  note(doubled, subject.name, await tell(lab, 'twice', subject, experiment, () => experiment.measureDouble!(lab, subject)))
}

/** A figure of another subject's that cannot be taken is a gap; of ours it is the end. */
async function tell (lab: Lab, run: string, subject: Subject, experiment: Experiment, measure: () => Promise<Values>): Promise<Values> {
  try {
    const values = await measure()
    const told = Object.entries(values).map(([metric, value]) => `${metric} ${round(value)}`).join(', ')
    lab.say(`${run} ${subject.name}: ${told}`)
    return values
  } catch (error) {
    if (subject.name === 'ours') throw error
    lab.say(`${run} ${subject.name}: no ${experiment.metrics.join(', ')}: ${(error as Error).message}`)
    return {}
  }
}

function note (taken: Taken, subject: SubjectName, values: Values): void {
  for (const [metric, value] of Object.entries(values) as Array<[MetricName, number]>) {
    const ofMetric = taken.get(metric) ?? new Map<SubjectName, number[]>()
    taken.set(metric, ofMetric.set(subject, [...ofMetric.get(subject) ?? [], value]))
  }
}

function summarizeAll (taken: Taken, doubled: Taken, { metrics: asked }: BenchOptions): Pick<Result, 'metrics' | 'ratios' | 'growth'> {
  const result: Pick<Result, 'metrics' | 'ratios' | 'growth'> = { metrics: {}, ratios: {}, growth: {} }
  for (const metric of METRIC_NAMES) {
    const values = taken.get(metric)
    if (!values || !asked.includes(metric)) continue
    const figures = Object.fromEntries([...values].map(([subject, numbers]) => [subject, summarize(numbers)]))
    result.metrics[metric] = figures
    if (values.size > 1) result.ratios[metric] = ratiosOf(figures, 'ours')
    const growths = [...doubled.get(metric) ?? []].flatMap(([subject, [value]]) =>
      figures[subject] && value !== undefined ? [[subject, round(value / figures[subject].median)] as const] : [])
    if (growths.length > 0) result.growth[metric] = Object.fromEntries(growths)
  }
  addMemoryGrowth(result)
  return result
}

/** A stream among 5,000 over one among 1,000. */
function addMemoryGrowth ({ metrics, growth }: Pick<Result, 'metrics' | 'growth'>): void {
  const growths = Object.entries(metrics.kb_per_stream_5000 ?? {}).flatMap(([subject, { median }]) => {
    const fewer = metrics.kb_per_stream_1000?.[subject as SubjectName]?.median
    return fewer ? [[subject, round(median / fewer)] as const] : []
  })
  if (growths.length > 0) growth.kb_per_stream_1000 = Object.fromEntries(growths)
}
