import type { Lab } from '../lab.js'
import { withServer, runTrial, type Shape } from '../trial.js'
import type { Experiment, Values } from './experiment.js'
import type { Subject } from '../subjects/subject.js'
import { WARM_MS } from './tokens.js'

const WARM_RUNS = 1000

/** Answers of one token, to measure the cost of a run apart from its tokens. */
export function oneTokenShape ({ quick }: Lab, connections: number): Shape {
  return { tokens: 1, delayMs: 0, firstMs: 0, burst: 1, connections, warmMs: WARM_MS, warmStreams: WARM_RUNS, windowMs: quick ? 3000 : 8000 }
}

async function runsEachSecond (lab: Lab, subject: Subject, connections: number): Promise<Values> {
  const { streams, ms } = await runTrial(lab, subject, oneTokenShape(lab, connections))
  return { runs_per_second: streams * 1000 / ms }
}

export const runs: Experiment = {
  metrics: ['runs_per_second'],
  measure: (lab, subject) => runsEachSecond(lab, subject, 64),
  measureDouble: (lab, subject) => runsEachSecond(lab, subject, 128)
}

export const startup: Experiment = {
  metrics: ['startup_ms'],
  times: 3,
  measure: (lab, subject) => withServer(lab, subject, async ({ startupMs }) => ({ startup_ms: startupMs }))
}
