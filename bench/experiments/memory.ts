import { setTimeout as delay } from 'node:timers/promises'
import type { Lab } from '../lab.js'
import type { MetricName } from '../metrics.js'
import type { Load } from '../native.js'
import { memoryBytes } from '../proc.js'
import type { Server, Subject } from '../subjects/subject.js'
import { answerQuickly, MAX_SILENT, startLoad, withServer } from '../trial.js'
import type { Experiment } from './experiment.js'

/** One token per second: the memory of streams is measured, not their work. They last until all have begun. */
const SLOW = { delayMs: 1000, firstMs: 0, tokens: 200, burst: 1 }
const BEGIN_EACH_SECOND = 400
const BEGIN_TIMEOUT = 120_000
const SETTLE_MS = 3000
const SAMPLES = 5

export const memory1000 = memoryOf(1000, 'kb_per_stream_1000')
export const memory5000 = memoryOf(5000, 'kb_per_stream_5000')

function memoryOf (streams: number, metric: MetricName): Experiment {
  return {
    metrics: [metric],
    measure: (lab, subject) => withServer(lab, subject, async server => {
      await warmUp(lab, subject, server)
      const before = await sampleMemory(server.pid)
      const load = startLoad(lab, subject, server, { ...SLOW, connections: streams, rampMs: streams * 1000 / BEGIN_EACH_SECOND, maxSilent: MAX_SILENT })
      try {
        await untilAllStream(load, streams)
        await delay(SETTLE_MS)
        return { [metric]: (await sampleMemory(server.pid) - before) / streams / 1024 }
      } finally {
        await load.stop()
      }
    })
  }
}

/** Warms up the heap, whose initial growth would otherwise be attributed to the streams. */
async function warmUp (lab: Lab, subject: Subject, server: Server): Promise<void> {
  await answerQuickly(lab, subject, server, lab.quick ? 1000 : 3000)
  await delay(SETTLE_MS)
}

export async function untilAllStream (load: Load, streams: number, timeoutMs = BEGIN_TIMEOUT): Promise<void> {
  const until = Date.now() + timeoutMs
  for (let streaming = 0; streaming < streams; ({ streaming } = await load.mark())) {
    if (Date.now() > until) throw new Error(`${streaming} of ${streams} streams had begun after ${timeoutMs / 1000} s`)
    await delay(200)
  }
}

/** PSS in bytes: the median of several samples, because of garbage collection. */
export async function sampleMemory (pid: number): Promise<number> {
  const sizes = []
  for (let n = 0; n < SAMPLES; n++) {
    sizes.push(await memoryBytes(pid))
    await delay(400)
  }
  return sizes.sort((a, b) => a - b)[SAMPLES >> 1]!
}
