import { readdir, readFile, rm } from 'node:fs/promises'
import { SourceMap } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Lab } from './lab.js'
import { oneTokenShape } from './experiments/runs.js'
import { pacedShape, saturatedShape } from './experiments/tokens.js'
import { startOnDatabase, startOurs } from './subjects/ours.js'
import { renderColumns } from './table.js'
import { runTrial, type Shape } from './trial.js'

const HOTTEST = 15

/** Profiles the service under four loads and lists the functions with the most self time. */
export async function profileOurs (lab: Lab): Promise<string> {
  const loads: Array<[string, Shape]> = [
    ['saturated', saturatedShape(lab, 1)],
    ['eight frames a write', saturatedShape(lab, 8)],
    ['500 streams at 20 ms a token', pacedShape(lab, 500)],
    ['answers of one token', oneTokenShape(lab, 64)]
  ]
  const sections = []
  for (const [name, shape] of loads) {
    const directory = join(lab.directory, 'profile')
    const start = (_: unknown, upstream: string) => startOnDatabase(lab, ({ url }) =>
      startOurs(lab, { upstream, databaseUrl: url, nodeOptions: ['--cpu-prof', `--cpu-prof-dir=${directory}`] }))
    await runTrial(lab, { format: 'events', start }, shape)
    sections.push(`${name}\n${renderColumns(await readHottest(directory, shape.windowMs))}`)
    await rm(directory, { recursive: true })
  }
  return sections.join('\n\n')
}

/** Lines and columns are zero-based. */
interface CallFrame { functionName: string, url: string, lineNumber: number, columnNumber: number }

interface Profile {
  /** In microseconds, as all times of a profile. */
  startTime: number
  endTime: number
  nodes: Array<{ id: number, callFrame: CallFrame }>
  samples: number[]
  timeDeltas: number[]
}

/** Reads only the last part of a profile, the window: before that come the start and the warm-up. */
async function readHottest (directory: string, windowMs: number): Promise<string[][]> {
  const [file] = await readdir(directory)
  const { startTime, endTime, nodes, samples, timeDeltas }: Profile = JSON.parse(await readFile(join(directory, file!), 'utf8'))
  const find = openMaps()
  const names = new Map<number, string>()
  for (const { id, callFrame } of nodes) names.set(id, `${callFrame.functionName || '(anonymous)'}  ${await find(callFrame)}`)
  const times = new Map<string, number>()
  let time = startTime
  for (const [index, id] of samples.entries()) {
    const name = names.get(id)!
    time += timeDeltas[index]!
    if (time > endTime - windowMs * 1000) times.set(name, (times.get(name) ?? 0) + timeDeltas[index]!)
  }
  const busy = [...times].filter(([name]) => !name.startsWith('(idle)'))
  const total = busy.reduce((sum, [, time]) => sum + time, 0)
  return busy.sort(([, a], [, b]) => b - a).slice(0, HOTTEST).map(([name, time]) => [name, `${(time / total * 100).toFixed(1)} %`])
}

/** Maps a function of the bundle to its place in the sources. */
function openMaps (): (frame: CallFrame) => Promise<string> {
  const maps = new Map<string, SourceMap>()
  return async ({ url, lineNumber, columnNumber }) => {
    if (!url.startsWith('file:')) return url
    const map = maps.get(url) ?? new SourceMap(JSON.parse(await readFile(`${fileURLToPath(url)}.map`, 'utf8')))
    maps.set(url, map)
    const entry = map.findEntry(lineNumber, columnNumber)
    return 'originalSource' in entry ? `${entry.originalSource.replace(/^(\.\.\/)+/, '')}:${entry.originalLine + 1}` : url
  }
}
