import type { Lab } from '../lab.js'
import type { MetricName } from '../metrics.js'
import type { Subject } from '../subjects/subject.js'
import { MAX_SILENT, perMillion, runTrial, type Outcome, type Shape } from '../trial.js'
import type { Experiment, Values } from './experiment.js'

/** The length of saturated answers. */
const TOKENS = 500
/** Answers in which a run's own cost shows. */
const FEW_TOKENS = 200
const SATURATED = { delayMs: 0, firstMs: 0, connections: 64, roundUs: 0 }
/** Long answers in bursts, which a service makes dearer than the stand-in and the database. */
const FULL = { ...SATURATED, tokens: 4000, burst: 8 }
/** Answers per connection before the window, and how long they are asked for at the least: V8 takes seconds to optimize what a run executes once. */
const WARM_ROUNDS = 4
export const WARM_MS = 12_000
const PACED = { delayMs: 20, firstMs: 20, burst: 1 }
/** The length of paced streams. They begin evenly over their duration, and therefore so do their successors. */
const PACED_TOKENS = 300
/** Quick answers before paced streams, because a cold server would make these begin together. */
const ANSWERS_BEFORE_PACED = 500

export const saturated: Experiment = costOf('cpu_per_mtok_saturated', (lab, factor) => saturatedShape(lab, 1, factor))
export const burst: Experiment = costOf('cpu_per_mtok_burst8', (lab, factor) => saturatedShape(lab, 8, factor))
export const saturated200 = costOfFew('cpu_per_mtok_saturated_200', 1)
export const burst200 = costOfFew('cpu_per_mtok_burst8_200', 8)
export const paced2000: Experiment = {
  metrics: ['cpu_per_mtok_paced_2000'],
  measure: async (lab, subject) => ({ cpu_per_mtok_paced_2000: costOfToken(await runTrial(lab, subject, pacedShape(lab, 2000))) }),
  measureDouble: (lab, subject) => doublePaced(lab, subject, 'cpu_per_mtok_paced_2000', 2000)
}

/** A moderate load, in which first tokens are timed, too. */
export const paced500: Experiment = {
  metrics: ['cpu_per_mtok_paced_500', 'ttft_added_p50_ms', 'ttft_added_p99_ms'],
  async measure (lab, subject) {
    const outcome = await runTrial(lab, subject, pacedShape(lab, 500))
    return {
      cpu_per_mtok_paced_500: costOfToken(outcome),
      ttft_added_p50_ms: (outcome.first.p50Us - lab.floor!.p50Us) / 1000,
      ttft_added_p99_ms: (outcome.first.p99Us - lab.floor!.p99Us) / 1000
    }
  },
  measureDouble: (lab, subject) => doublePaced(lab, subject, 'cpu_per_mtok_paced_500', 500)
}

/** Skipped if the single load was too much already: the core is full at both loads. */
async function doublePaced (lab: Lab, subject: Subject, metric: MetricName, streams: number): Promise<Values> {
  if (lab.tooSlow.has(`${subject.name} ${streams}`)) return {}
  return { [metric]: costOfToken(await runTrial(lab, subject, pacedShape(lab, streams * 2))) }
}

function costOf (metric: MetricName, shape: (lab: Lab, factor: number) => Shape): Experiment {
  const measure = (factor: number) => async (lab: Lab, subject: Subject): Promise<Values> =>
    ({ [metric]: costOfToken(await runTrial(lab, subject, shape(lab, factor))) })
  return { metrics: [metric], measure: measure(1), measureDouble: measure(2) }
}

/** Answers of 200 tokens; compared with what comes near in cost. */
function costOfFew (metric: MetricName, burst: number): Experiment {
  return {
    metrics: [metric],
    subjects: ['ours', 'pipe', 'reencode', 'nginx'],
    measure: async (lab, subject) => ({ [metric]: costOfToken(await runTrial(lab, subject, saturatedShape(lab, burst, 1, FEW_TOKENS))) })
  }
}

export function costOfToken ({ serverMs, tokens }: Outcome): number {
  return perMillion(serverMs, tokens)
}

export function saturatedShape ({ quick }: Lab, burst: number, factor = 1, tokens = TOKENS): Shape {
  const connections = SATURATED.connections * factor
  return { ...SATURATED, tokens, burst, connections, warmMs: WARM_MS, warmStreams: WARM_ROUNDS * connections, windowMs: quick ? 3000 : 8000 }
}

/**
 * A load that fills the server's core, though everything else has but one core.
 * @param processes that share it: each has to be warm, and gets but its part of the answers.
 */
export function fullShape ({ quick }: Lab, processes: number): Shape {
  return { ...FULL, warmMs: (quick ? 4000 : WARM_MS) * processes, windowMs: quick ? 3000 : 8000 }
}

/** @param connections concurrent streams. Above 500 the generator polls them at intervals, and first tokens are not timed. */
export function pacedShape ({ quick }: Lab, connections: number): Shape {
  const rampMs = PACED_TOKENS * PACED.delayMs
  const windowMs = quick ? 3000 : 8000
  return { ...PACED, tokens: PACED_TOKENS, connections, rampMs, quickAnswers: ANSWERS_BEFORE_PACED, warmMs: rampMs + 1000, warmStreams: connections / 2, windowMs, ...connections > 500 && { roundUs: 1000, maxSilent: MAX_SILENT } }
}
