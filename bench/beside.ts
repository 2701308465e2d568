import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { oneTokenShape } from './experiments/runs.js'
import { pacedShape, saturatedShape } from './experiments/tokens.js'
import type { Lab } from './lab.js'
import type { Load } from './native.js'
import { cpuMs } from './proc.js'
import { summarize } from './stats.js'
import { startOnDatabase, startOurs } from './subjects/ours.js'
import type { Server } from './subjects/subject.js'
import { renderColumns, short } from './table.js'
import { answerQuickly, perMillion, startLoad, withServer, type Shape } from './trial.js'

const WINDOWS = 7
const WINDOWS_QUICK = 3
const WINDOW_MS = 3000

/**
 * Compares what a token costs this build and another one. Both run at once on one core, each with half of a load, so that
 * disturbances affect both: this resolves a few percent, while figures measured in turn differ by a tenth.
 * @param other the `dist` directory of the other build.
 */
export async function compareBuilds (lab: Lab, other: string): Promise<string> {
  await access(join(other, 'server.js'))
  const loads: Array<[string, Shape]> = [
    ['saturated', { ...saturatedShape(lab, 1), connections: 32 }],
    ['eight frames a write', { ...saturatedShape(lab, 8), connections: 32 }],
    ['250 streams at 20 ms a token', pacedShape(lab, 250)],
    ['the same over WebSockets', { ...pacedShape(lab, 250), overSocket: true }],
    ['answers of one token', oneTokenShape(lab, 32)]
  ]
  const rows = [['µs a token', 'the other', 'this one', 'ratio', 'of windows']]
  for (const [name, shape] of loads) {
    lab.log(`${name} …`)
    const start = (built?: string) => ({
      format: 'events' as const,
      start: (_: Lab, upstream: string) => startOnDatabase(lab, ({ url }) => startOurs(lab, { upstream, databaseUrl: url, built }))
    })
    const [before, now] = [start(resolve(other)), start()]
    rows.push([name, ...await withServer(lab, before, first => withServer(lab, now, second => measure(lab, before, [first, second], shape)))])
  }
  return renderColumns(rows)
}

async function measure (lab: Lab, subject: { format: 'events' }, servers: Server[], shape: Shape): Promise<string[]> {
  const loads: Load[] = []
  try {
    for (const server of servers) {
      if (shape.quickAnswers) await answerQuickly(lab, subject, server, shape.quickAnswers)
      const load = startLoad(lab, subject, server, shape)
      loads.push(load)
      // Both loads read the same files: the first must have read them before the second writes them.
      await load.mark()
    }
    await delay(shape.warmMs)
    for (const server of servers) await server.settle?.()
    const windows: number[][] = []
    while (windows.length < (lab.quick ? WINDOWS_QUICK : WINDOWS)) windows.push(await measureWindow(servers, loads))
    const [before, now] = [0, 1].map(index => summarize(windows.map(costs => costs[index]!)))
    const ratio = summarize(windows.map(([before, now]) => now! / before!))
    return [short(before!.median), short(now!.median), ratio.median.toFixed(3), `${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}`]
  } finally {
    await Promise.all(loads.map(load => load.stop()))
  }
}

/** The cost of a token for each server in one window, in microseconds. */
async function measureWindow (servers: Server[], loads: Load[]): Promise<number[]> {
  const spent = () => Promise.all(servers.map(({ pid }) => cpuMs(pid)))
  await Promise.all(loads.map(load => load.mark()))
  const before = await spent()
  await delay(WINDOW_MS)
  const [marks, after] = await Promise.all([Promise.all(loads.map(load => load.mark())), spent()])
  return marks.map(({ tokens }, index) => perMillion(after[index]! - before[index]!, tokens))
}
