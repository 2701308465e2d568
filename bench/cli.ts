import { readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
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

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string' },
    only: { type: 'string' },
    subjects: { type: 'string' },
    json: { type: 'string' },
    svg: { type: 'string' },
    compare: { type: 'string' },
    replicas: { type: 'string' },
    beside: { type: 'string' },
    profile: { type: 'boolean', default: false },
    url: { type: 'string', default: 'postgres://postgres@127.0.0.1:5432/postgres' },
    help: { type: 'boolean', default: false }
  }
})

const HELP = `npm run bench -- [options]: measures what a token, a stream and a run cost, here and in other servers.
  --quick              short windows, and no measurements at twice the load; the figures are rough
  --runs <n>           rounds of measurements (3; quick: 1); fewer for the slowest subjects
  --only <figures>     ${METRIC_NAMES.join(', ')}
  --subjects <names>   ${SUBJECTS.join(', ')}
  --json <file>        writes the figures; - is standard output, and everything else goes to standard error
  --svg <file>         draws the figures
  --compare <file>     compares ours with an earlier --json; exit code 1 if one is worse by more than the noise
  --replicas <1,2,4>   only measures throughput and the cost of a token with these numbers of processes
  --beside <directory> only compares another build of ours (a dist/) with this one, both at once on one core
  --profile            only lists the hottest functions of ours under four loads
  --url <postgres url> a server on which databases may be created (postgres://postgres@127.0.0.1:5432/postgres)
`

try {
  if (values.help) process.stdout.write(HELP)
  else await main()
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
