import { readFile, writeFile } from 'node:fs/promises'
import { readOptions } from '../src/lib/command.js'
import { measureBacklog } from './backlog.js'
import { runBench } from './bench.js'
import { compareBuilds } from './beside.js'
import { renderChart } from './chart.js'
import { compare, whyIncomparable } from './compare.js'
import { openLab, type Lab, type OpenLab } from './lab.js'
import { METRIC_NAMES, type MetricName } from './metrics.js'
import { killPrograms } from './process.js'
import { profileOurs } from './profile.js'
import { measureReplicas } from './replicas.js'
import type { Result } from './result.js'
import { SUBJECTS, type SubjectName } from './subjects/subject.js'
import { renderComparison, renderTable } from './table.js'

const values = readOptions({
  name: 'npm run bench',
  does: 'what a token, a stream and a run cost, beside what others need for them.',
  options: {
    quick: { type: 'boolean', default: false, does: 'one short look at everything, and none at twice the load; its figures are rough' },
    runs: { type: 'string', value: '<n>', does: 'how often each figure is taken, of the slowest subjects less often (default: 3; quick: 1)' },
    only: { type: 'string', value: '<figures>', does: `of ${METRIC_NAMES.join(', ')} (default: all)` },
    subjects: { type: 'string', value: '<names>', does: `of ${SUBJECTS.join(', ')} (default: all)` },
    json: { type: 'string', value: '<file>', does: 'writes the figures; - is standard output, with everything else on standard error' },
    svg: { type: 'string', value: '<file>', does: 'draws them' },
    compare: { type: 'string', value: '<file>', does: 'holds ours against an earlier --json; exit code 1 where one is worse by more than its noise' },
    replicas: { type: 'string', value: '<1,2,4>', does: 'throughput and the cost of a token by so many processes, and nothing else' },
    backlog: { type: 'boolean', default: false, does: 'how fast four workers take runs that wait in the queue, and what that costs, and nothing else' },
    beside: { type: 'string', value: '<directory>', does: 'another build of ours (a dist/) and this one at once, on one core, and nothing else' },
    profile: { type: 'boolean', default: false, does: 'the hottest functions of ours under four loads, and nothing else' },
    url: { type: 'string', default: 'postgres://postgres@127.0.0.1:5432/postgres', value: '<postgres url>', does: 'a server on which databases may be made' }
  }
})

try {
  await main()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

async function main (): Promise<void> {
  const earlier = values.compare === undefined ? undefined : JSON.parse(await readFile(values.compare, 'utf8')) as Result
  const options = {
    runs: Number(values.runs ?? (values.quick ? 1 : 3)),
    metrics: pick(values.only, METRIC_NAMES) as MetricName[],
    subjects: pick(values.subjects, SUBJECTS) as SubjectName[],
    growth: !values.quick
  }
  const startedAt = Date.now()
  const opening = openLab({ url: values.url, quick: values.quick, log: line => process.stderr.write(`${line}\n`) })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => { end(opening).catch(() => process.exit(1)) })
  const lab = await opening
  try {
    if (!lab.cores) lab.log('There is only one core, or no taskset: the server shares its core with the load, which affects the figures.')
    if (values.replicas) return say(await measureReplicas(lab, values.replicas.split(',').map(Number)))
    if (values.backlog) return say(await measureBacklog(lab))
    if (values.beside) return say(await compareBuilds(lab, values.beside))
    if (values.profile) return say(await profileOurs(lab))
    await report(await runBench(lab, options), earlier, lab)
    lab.log(`It took ${Math.ceil((Date.now() - startedAt) / 60_000)} minutes.`)
  } finally {
    killPrograms()
    await lab.close()
  }
}

async function report (result: Result, earlier: Result | undefined, lab: Lab): Promise<void> {
  const json = `${JSON.stringify(result, null, 2)}\n`
  if (values.json === '-') process.stdout.write(json)
  else say(renderTable(result))
  if (values.json && values.json !== '-') await writeFile(values.json, json)
  if (values.svg) await writeFile(values.svg, renderChart(result))
  if (!earlier) return
  const comparisons = compare(earlier, result)
  lab.log(`\n${renderComparison(comparisons)}`)
  const reason = whyIncomparable(earlier, result)
  if (reason) lab.log(`${reason} The figures are not compared.`)
  else if (comparisons.some(({ verdict }) => verdict === 'worse')) process.exitCode = 1
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
