import type { BlowName } from './blows.js'
import type { FaceOutcome, Verdict } from './faces/asker.js'
import type { Ledger } from './ledger.js'
import { quantile } from './random.js'
import type { Outcome } from './reader.js'

/** A connection that breaks later than this after a blow broke for another reason. */
const ATTRIBUTION_MS = 15_000
/** A connection may be seen to break slightly before the blow is recorded. */
const SKEW_MS = 50

export interface Quantiles { count: number, p50: number, p99: number }

export interface Dealt { blow: BlowName, at: number }

export interface ChaosReport {
  runs: number
  blows: Partial<Record<BlowName, number>>
  disconnects: number
  /** Runs that a client could not read to their end, or whose text was wrong. */
  lost: number
  /** How the official clients of each face have ended; what is wrong or never ended is lost too. */
  faces: Record<string, Record<Verdict, number>>
  /** How often which typed error was thrown. */
  errors: Record<string, number>
  /** Runs that exist or were charged twice. */
  doubled: number
  /** Runs that never ended, and jobs that are left in the queue. */
  stuck: number
  /** Credits by which the balance, the charges and the ledger differ, and credits that are still reserved. */
  miscounted: number
  /** Lines that processes wrote to standard error, and processes that ended unexpectedly or too late. */
  complaints: number
  /** Milliseconds from a blow to the next event of a run whose connection it broke. */
  gapP50: number
  gapP99: number
  gaps: Partial<Record<BlowName, Quantiles>>
  /** Milliseconds from the model to a reader before the first blow, connected to the run's own process or to another. */
  live: { here: Quantiles, elsewhere: Quantiles }
  problems: string[]
}

export interface Evidence {
  outcomes: Outcome[]
  faces: FaceOutcome[]
  dealt: Dealt[]
  books: Awaited<ReturnType<Ledger['read']>>
  /** Jobs that are left in the queue. */
  jobs: string[]
  complaints: string[]
  delays: { here: number[], elsewhere: number[] }
}

export function judge ({ outcomes, faces, dealt, books, jobs, complaints, delays }: Evidence): ChaosReport {
  const problems = [...complaints, ...jobs.map(job => `left in the queue: ${job}`), ...[...outcomes, ...faces].flatMap(({ problem }) => problem ?? [])]
  const settled = books.granted - books.remaining
  const miscounted = Math.abs(settled - books.charged) + Math.abs(books.charged - books.ledger) + Math.abs(books.reserved)
  if (miscounted + books.doubled + books.unfinished + books.found > 0) problems.push(`books: ${JSON.stringify(books)}`)
  const gaps = findGaps(outcomes, dealt)
  const all = [...gaps.values()].flat()
  return {
    runs: outcomes.length + faces.length,
    blows: countBy(dealt),
    disconnects: outcomes.reduce((sum, { disconnects }) => sum + disconnects, 0),
    lost: [...outcomes, ...faces].filter(({ problem }) => problem).length,
    faces: countVerdicts(faces),
    errors: countErrors(faces),
    doubled: books.doubled,
    stuck: books.unfinished + jobs.length,
    miscounted,
    complaints: complaints.length,
    gapP50: quantile(all, 0.5),
    gapP99: quantile(all, 0.99),
    gaps: Object.fromEntries([...gaps].map(([blow, values]) => [blow, quantiles(values)])),
    live: { here: quantiles(delays.here), elsewhere: quantiles(delays.elsewhere) },
    problems
  }
}

function countVerdicts (faces: FaceOutcome[]): ChaosReport['faces'] {
  const counts: ChaosReport['faces'] = {}
  for (const { face, verdict } of faces) {
    counts[face] ??= { right: 0, typedErrors: 0, wrong: 0, neverEnded: 0 }
    counts[face][verdict]++
  }
  return counts
}

/** Without what is each run's own. */
function countErrors (faces: FaceOutcome[]): ChaosReport['errors'] {
  const counts: ChaosReport['errors'] = {}
  for (const { face, error } of faces) {
    if (error === undefined) continue
    const key = `${face}: ${error.replace(/[0-9a-f-]{36}/g, '…')}`
    counts[key] = (counts[key] ?? 0) + 1
  }
  return counts
}

/** Measures, by blow, the time from the last blow before a connection broke to the run's next event. */
function findGaps (outcomes: Outcome[], dealt: Dealt[]): Map<BlowName, number[]> {
  const gaps = new Map<BlowName, number[]>()
  for (const { brokenAt, nextAt } of outcomes.flatMap(({ cuts }) => cuts)) {
    const last = dealt.findLast(({ at }) => at <= brokenAt + SKEW_MS)
    if (!last || brokenAt - last.at > ATTRIBUTION_MS) continue
    gaps.set(last.blow, [...gaps.get(last.blow) ?? [], nextAt - last.at])
  }
  return gaps
}

function countBy (dealt: Dealt[]): ChaosReport['blows'] {
  const counts: ChaosReport['blows'] = {}
  for (const { blow } of dealt) counts[blow] = (counts[blow] ?? 0) + 1
  return counts
}

function quantiles (values: number[]): Quantiles {
  return { count: values.length, p50: quantile(values, 0.5), p99: quantile(values, 0.99) }
}
