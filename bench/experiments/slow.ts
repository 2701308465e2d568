import { setTimeout as delay } from 'node:timers/promises'
import { cpuMs } from '../proc.js'
import { answerQuickly, MAX_SILENT, perMillion, startLoad, withServer } from '../trial.js'
import type { Experiment } from './experiment.js'
import { sampleMemory, untilAllStream } from './memory.js'

const STREAMS = 5000
const PACED = { delayMs: 500, firstMs: 0, burst: 1 }
const TOKENS = 200
/** What a warm server has answered. */
const ANSWERS_BEFORE = 500
/** At every moment a few streams have just ended or wait for their first token. */
const MOST_BEGUN = 0.95
const SETTLE_MS = 2000
const WINDOW_MS = 10_000
const WINDOW_QUICK_MS = 4000

/**
 * Many streams at the pace of a slow model: what each costs and what all take. They begin evenly over their duration, so
 * that within the window as many begin and end as in hours of it.
 */
export const slow5000: Experiment = {
  metrics: ['cpu_per_mtok_slow_5000', 'mb_slow_5000'],
  subjects: ['ours', 'pipe'],
  measure: (lab, subject) => withServer(lab, subject, async server => {
    await answerQuickly(lab, subject, server, ANSWERS_BEFORE)
    const rampMs = TOKENS * PACED.delayMs
    const load = startLoad(lab, subject, server, { ...PACED, tokens: TOKENS, connections: STREAMS, rampMs, maxSilent: MAX_SILENT, roundUs: 1000 })
    try {
      await delay(rampMs)
      await untilAllStream(load, STREAMS * MOST_BEGUN)
      await server.settle?.()
      await delay(SETTLE_MS)
      await load.mark()
      const before = await cpuMs(server.pid)
      await delay(lab.quick ? WINDOW_QUICK_MS : WINDOW_MS)
      const [mark, after] = await Promise.all([load.mark(), cpuMs(server.pid)])
      return { cpu_per_mtok_slow_5000: perMillion(after - before, mark.tokens), mb_slow_5000: await sampleMemory(server.pid) / 2 ** 20 }
    } finally {
      await load.stop()
    }
  })
}
