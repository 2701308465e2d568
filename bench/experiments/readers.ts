import { runTrial, type Shape } from '../trial.js'
import type { Experiment } from './experiment.js'
import { costOfToken, pacedShape } from './tokens.js'

const RUNS = 100
const READERS = 10

/** The cost of a run with ten readers over that with one. */
export const readers: Experiment = {
  metrics: ['readers_10_over_1'],
  subjects: ['ours'],
  async measure (lab, subject) {
    const shape: Shape = { ...pacedShape(lab, RUNS), roundUs: 1000 }
    const one = costOfToken(await runTrial(lab, subject, shape))
    // Every token is counted ten times, once per reader.
    const ten = costOfToken(await runTrial(lab, subject, { ...shape, readersPerRun: READERS - 1 })) * READERS
    return { readers_10_over_1: ten / one }
  }
}

export const socket: Experiment = {
  metrics: ['ws_over_sse'],
  subjects: ['ours'],
  async measure (lab, subject) {
    const shape = pacedShape(lab, 500)
    const sse = costOfToken(await runTrial(lab, subject, shape))
    return { ws_over_sse: costOfToken(await runTrial(lab, subject, { ...shape, overSocket: true })) / sse }
  }
}
