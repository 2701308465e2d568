import { measureCapacity } from './check.js'
import { experiments } from './experiments/index.js'
import type { Experiment, Values } from './experiments/experiment.js'
import type { Lab } from './lab.js'
import { readCommit, readMachine } from './machine.js'
import { type MetricName } from './metrics.js'
import type { Result } from './result.js'
import { ratiosOf, round, summarize } from './stats.js'
import { subjects } from './subjects/index.js'
import type { Subject, SubjectName } from './subjects/subject.js'

export interface BenchOptions {
  /** The number of rounds; in each, every figure of every subject is measured once. */
  runs: number
  subjects: readonly SubjectName[]
  metrics: readonly MetricName[]
  /** Whether figures are measured again at twice their load. */
  growth: boolean
}

type Samples = Map<MetricName, Map<SubjectName, number[]>>

interface Measurements {
  once: Samples
  /** At twice the load. */
  doubled: Samples
  /** The reason of the last failure, by figure and subject. */
  failures: NonNullable<Result['gaps']>
}

/** Measures the chosen figures and logs its progress. */
export async function runBench (lab: Lab, options: BenchOptions): Promise<Result> {
  lab.log('The stand-in and the load generator without a subject …')
  const bench = await measureCapacity(lab)
  const leftOut: Result['leftOut'] = {}
  const present: Subject[] = []
  for (const subject of options.subjects.map(name => subjects[name])) {
    const reason = await subject.prepare?.(lab)
    if (reason) leftOut[subject.name] = reason
    else present.push(subject)
  }
  const chosen = experiments.filter(({ metrics }) => metrics.some(metric => options.metrics.includes(metric)))
  const taking: Measurements = { once: new Map(), doubled: new Map(), failures: {} }
  for (let run = 1; run <= options.runs; run++) {
    for (const experiment of chosen) {
      for (const subject of present) await measureOnce(lab, experiment, subject, run, taking)
    }
  }
  for (const experiment of options.growth ? chosen : []) {
    for (const subject of present) await measureDoubled(lab, experiment, subject, taking)
  }
  return {
    machine: readMachine(),
    when: new Date().toISOString(),
    commit: readCommit(),
    ...summarizeAll(taking, options),
    bench: { ...bench, busiest: round(lab.busiest) },
    remarks: [...lab.remarks.values()],
    leftOut
  }
}

async function measureOnce (lab: Lab, experiment: Experiment, subject: Subject, run: number, { once, failures }: Measurements): Promise<void> {
  if (run > maxRuns(experiment, subject)) return
  for (let n = 0; n < (experiment.times ?? 1); n++) {
    const values = await measureAndLog(lab, `${run}`, subject, experiment, () => experiment.measure(lab, subject))
    if (values instanceof Error) for (const metric of experiment.metrics) failures[metric] = { ...failures[metric], [subject.name]: reasonOf(values) }
    else addValues(once, subject.name, values)
  }
}

async function measureDoubled (lab: Lab, experiment: Experiment, subject: Subject, { once, doubled }: Measurements): Promise<void> {
  if (!experiment.measureDouble || !experiment.metrics.some(metric => once.get(metric)?.has(subject.name))) return
  const values = await measureAndLog(lab, 'twice', subject, experiment, () => experiment.measureDouble!(lab, subject))
  if (!(values instanceof Error)) addValues(doubled, subject.name, values)
}

/** The number of rounds in which an experiment measures a subject. */
function maxRuns ({ oursAlone, runsOfOthers = Infinity }: Experiment, subject: Subject): number {
  if (subject.name === 'ours') return Infinity
  return oursAlone ? 0 : Math.min(runsOfOthers, subject.maxRuns ?? Infinity)
}

/** @returns the error if another subject's figure cannot be measured. @throws it if the subject is `ours`. */
async function measureAndLog (lab: Lab, run: string, subject: Subject, experiment: Experiment, measure: () => Promise<Values>): Promise<Values | Error> {
  try {
    const values = await measure()
    const told = Object.entries(values).map(([metric, value]) => `${metric} ${round(value)}`).join(', ')
    if (told) lab.log(`${run} ${subject.name}: ${told}`)
    return values
  } catch (error) {
    if (subject.name === 'ours') throw error
    lab.log(`${run} ${subject.name}: no ${experiment.metrics.join(', ')}: ${(error as Error).message}`)
    return error as Error
  }
}

/** The first two lines of a message: the failure, and the first line of the program's output. */
function reasonOf ({ message }: Error): string {
  return message.split('\n').slice(0, 2).join(' ').trim()
}

function addValues (taken: Samples, subject: SubjectName, values: Values): void {
  for (const [metric, value] of Object.entries(values) as Array<[MetricName, number]>) {
    const ofMetric = taken.get(metric) ?? new Map<SubjectName, number[]>()
    taken.set(metric, ofMetric.set(subject, [...ofMetric.get(subject) ?? [], value]))
  }
}

type Summary = Required<Pick<Result, 'metrics' | 'ratios' | 'growth' | 'gaps'>>

function summarizeAll ({ once, doubled, failures }: Measurements, { metrics: asked }: BenchOptions): Summary {
  const result: Summary = { metrics: {}, ratios: {}, growth: {}, gaps: {} }
  for (const metric of asked) {
    const values = once.get(metric) ?? new Map<SubjectName, number[]>()
    const gaps = Object.entries(failures[metric] ?? {}).filter(([name]) => !values.has(name as SubjectName))
    if (gaps.length > 0) result.gaps[metric] = Object.fromEntries(gaps)
    if (values.size === 0) continue
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

/** Memory per stream of 5,000 streams over that of 1,000. */
function addMemoryGrowth ({ metrics, growth }: Pick<Result, 'metrics' | 'growth'>): void {
  const growths = Object.entries(metrics.kb_per_stream_5000 ?? {}).flatMap(([subject, { median }]) => {
    const fewer = metrics.kb_per_stream_1000?.[subject as SubjectName]?.median
    return fewer ? [[subject, round(median / fewer)] as const] : []
  })
  if (growths.length > 0) growth.kb_per_stream_1000 = Object.fromEntries(growths)
}
