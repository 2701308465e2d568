import { CAPACITY, measureCapacity, type Capacity } from './check.js'
import { experiments } from './experiments/index.js'
import type { Experiment, Values } from './experiments/experiment.js'
import type { Lab } from './lab.js'
import { readCommit, readMachine } from './machine.js'
import { type MetricName } from './metrics.js'
import type { Figures, Result } from './result.js'
import { round, summarize, summarizeRatio } from './stats.js'
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

/** Who is measured at twice the load: the comparison with the untouched pipe says what a load costs Node.js itself. */
const DOUBLED: readonly SubjectName[] = ['ours', 'pipe']

type Samples = Map<MetricName, Map<SubjectName, number[]>>

interface Measurements {
  capacity: Capacity[]
  once: Samples
  /** At twice the load. */
  doubled: Samples
  /** The reason of the last failure, by figure and subject. */
  failures: Result['gaps']
}

/** Measures the chosen figures and logs its progress. */
export async function runBench (lab: Lab, options: BenchOptions): Promise<Result> {
  const leftOut: Result['leftOut'] = {}
  const present: Subject[] = []
  for (const subject of options.subjects.map(name => subjects[name])) {
    const reason = await subject.prepare?.(lab)
    if (reason) leftOut[subject.name] = reason
    else present.push(subject)
  }
  const taking: Measurements = { capacity: [], once: new Map(), doubled: new Map(), failures: {} }
  for (let run = 1; run <= options.runs; run++) await measureRound(lab, present, options, run, taking)
  return {
    machine: readMachine(lab.node),
    when: new Date().toISOString(),
    commit: readCommit(),
    looks: options.runs,
    ...summarizeAll(taking, options),
    bench: { ...summarizeCapacity(taking.capacity), busiest: round(lab.busiest) },
    remarks: [...lab.remarks.values()],
    leftOut
  }
}

async function measureRound (lab: Lab, present: Subject[], { metrics, growth }: BenchOptions, run: number, taking: Measurements): Promise<void> {
  lab.log(`${run}: the stand-in and the load generator without a subject …`)
  taking.capacity.push(await measureCapacity(lab))
  const chosen = experiments.filter(experiment => experiment.metrics.some(metric => metrics.includes(metric)))
  for (const experiment of chosen) {
    for (const subject of present) {
      if (experiment.subjects?.includes(subject.name) === false) continue
      await measureOnce(lab, experiment, subject, run, taking)
      if (growth && DOUBLED.includes(subject.name)) await measureDoubled(lab, experiment, subject, run, taking)
    }
  }
}

async function measureOnce (lab: Lab, experiment: Experiment, subject: Subject, run: number, { once, failures }: Measurements): Promise<void> {
  for (let n = 0; n < (experiment.times ?? 1); n++) {
    const values = await measureAndLog(lab, `${run}`, subject, experiment, () => experiment.measure(lab, subject))
    if (values instanceof Error) for (const metric of experiment.metrics) failures[metric] = { ...failures[metric], [subject.name]: reasonOf(values) }
    else addValues(once, subject.name, values)
  }
}

async function measureDoubled (lab: Lab, experiment: Experiment, subject: Subject, run: number, { once, doubled }: Measurements): Promise<void> {
  if (!experiment.measureDouble || !experiment.metrics.some(metric => once.get(metric)?.has(subject.name))) return
  const values = await measureAndLog(lab, `${run} twice`, subject, experiment, () => experiment.measureDouble!(lab, subject))
  if (!(values instanceof Error)) addValues(doubled, subject.name, values)
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

function summarizeCapacity (taken: Capacity[]): Record<keyof Capacity, ReturnType<typeof summarize>> {
  return Object.fromEntries(CAPACITY.map(name => [name, summarize(taken.map(capacity => capacity[name]))])) as Record<keyof Capacity, ReturnType<typeof summarize>>
}

type Summary = Pick<Result, 'metrics' | 'ratios' | 'growth' | 'gaps'>

function summarizeAll ({ once, doubled, failures }: Measurements, { metrics: asked }: BenchOptions): Summary {
  const result: Summary = { metrics: {}, ratios: {}, growth: {}, gaps: {} }
  for (const metric of asked) {
    const values = once.get(metric) ?? new Map<SubjectName, number[]>()
    const gaps = Object.entries(failures[metric] ?? {}).filter(([name]) => !values.has(name as SubjectName))
    if (gaps.length > 0) result.gaps[metric] = Object.fromEntries(gaps)
    if (values.size === 0) continue
    result.metrics[metric] = figuresOf(values, numbers => summarize(numbers))
    const own = values.get('ours')
    if (own && values.size > 1) result.ratios[metric] = figuresOf(values, (numbers, name) => name === 'ours' ? undefined : summarizeRatio(own, numbers))
    const growth = figuresOf(doubled.get(metric) ?? new Map(), (numbers, name) => summarizeRatio(numbers, values.get(name)))
    if (Object.keys(growth).length > 0) result.growth[metric] = growth
  }
  const [fewer, more] = [once.get('kb_per_stream_1000'), once.get('kb_per_stream_5000')]
  if (fewer && more) result.growth.kb_per_stream_1000 = figuresOf(more, (numbers, name) => summarizeRatio(numbers, fewer.get(name)))
  return result
}

function figuresOf (values: Map<SubjectName, number[]>, of: (numbers: number[], name: SubjectName) => ReturnType<typeof summarizeRatio>): Figures {
  return Object.fromEntries([...values].flatMap(([name, numbers]) => {
    const figure = of(numbers, name)
    return figure ? [[name, figure]] : []
  }))
}
