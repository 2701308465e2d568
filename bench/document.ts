import { METRICS, METRIC_NAMES, type MetricName } from './metrics.js'
import { majorOf, type Origin, type Report, type Result } from './result.js'
import { costsOf, FULL, replicasThatFillDatabase, replicasThatFillRedis, simulate } from './scaled/simulate.js'
import { costRows, scaledRows, withSpread } from './scaled/table.js'
import { SUBJECTS } from './subjects/subject.js'
import { renderCapacity, short } from './table.js'
import { judgeTargets } from './targets.js'

/** The parts of documents that are made from the report, by the name in their marks. */
export type Parts = Record<string, string>

/** The documents whose parts are made from docs/bench.json. */
export const DOCUMENTS = ['docs/explanation/performance.md', 'docs/explanation/scaling.md']

const NOT_MEASURED = 'Not measured yet.'
/** What is simulated: answers of the paced load's length, the replicas, and a PostgreSQL server of that many cores. */
const SIMULATED = { tokens: 300, replicas: [1, 2, 4, 8, 16, 32, 64], cores: 4 }

/** Puts parts between their marks, `<!-- bench: name -->` and `<!-- /bench -->`. @throws for a mark that no part is for. */
export function fillIn (text: string, parts: Parts): string {
  return text.replace(/(<!-- bench: ([\w-]+) -->\n)[^]*?(<!-- \/bench -->)/g, (_, begin: string, name: string, end: string) => {
    if (parts[name] === undefined) throw new Error(`There is no part ${name}; there is ${Object.keys(parts).join(', ')}.`)
    return `${begin}${parts[name]}\n${end}`
  })
}

/** Makes all parts of a report. */
export function renderParts (report: Report): Parts {
  const [main, ...others] = report.results
  return {
    origin: main ? `${renderOrigin(main)} ${renderCapacity(main)}` : NOT_MEASURED,
    costs: main ? renderCosts(main) : NOT_MEASURED,
    targets: main ? renderTargets(main) : NOT_MEASURED,
    versions: main && others.length > 0 ? renderVersions([main, ...others]) : NOT_MEASURED,
    scaled: report.scaled
      ? `${renderOrigin(report.scaled)}\n\n${table([['', 'measured', 'aimed at', ''], ...scaledRows(report.scaled)])}`
      : NOT_MEASURED,
    'scaled-costs': report.scaled ? table([['ms of a processor', 'measured'], ...costRows(report.scaled)]) : NOT_MEASURED,
    simulation: report.scaled ? renderSimulation(costsOf(report.scaled)) : NOT_MEASURED
  }
}

function renderOrigin ({ machine, when, commit, looks }: Origin): string {
  const times = looks === 1 ? 'one look at each figure' : `each figure the median of ${looks} looks or more, with the least and the most of them`
  return `Commit ${commit}, ${when.slice(0, 10)}, Node ${machine.node.slice(1)}, ${machine.cores} cores (${machine.cpu}): ${times}.`
}

function renderCosts ({ metrics, gaps, leftOut }: Result): string {
  const names = SUBJECTS.filter(name => METRIC_NAMES.some(metric => metrics[metric]?.[name]))
  const rows = METRIC_NAMES.filter(metric => metrics[metric]).map(metric => [
    METRICS[metric].title,
    ...names.map(name => metrics[metric]?.[name] ? withSpread(metrics[metric][name]) : gaps[metric]?.[name] ? 'none' : '')
  ])
  const missing = Object.entries(leftOut).map(([name, reason]) => `Without ${name}: ${reason}.`)
  return [table([['', ...names], ...rows]), ...missing].join('\n\n')
}

function renderTargets (result: Result): string {
  return table([
    ['of ours', '', 'measured', 'aimed at', ''],
    ...judgeTargets(result).map(({ title, of, figure, aim, isReached }) => [title, of, withSpread(figure), aim, isReached ? 'reached' : 'missed'])
  ])
}

/** Our figures and the untouched pipe's by each version of Node.js. */
function renderVersions (results: Result[]): string {
  const has = (metric: MetricName) => results.every(({ metrics }) => metrics[metric]?.ours)
  const names = results.map(({ machine }) => `Node ${majorOf(machine.node)}`)
  const rows = METRIC_NAMES.filter(has).map(metric => [
    METRICS[metric].title,
    ...results.flatMap(({ metrics }) => (['ours', 'pipe'] as const).map(subject => {
      const figure = metrics[metric]?.[subject]
      return figure ? withSpread(figure) : ''
    }))
  ])
  return table([['', ...names.flatMap(name => [name, `${name}, pipe`])], ...rows])
}

function renderSimulation (costs: ReturnType<typeof costsOf>): string {
  const { tokens, cores } = SIMULATED
  const near = SIMULATED.replicas.map(replicas => [replicas, simulate(costs, { replicas, tokens, remote: 0 })] as const)
  const far = SIMULATED.replicas.map(replicas => simulate(costs, { replicas, tokens, remote: (replicas - 1) / replicas }))
  const rows = near.map(([replicas, local], index) => [
    String(replicas),
    ...[local, far[index]!].flatMap(({ tokensPerSecond, redis, database }) => [short(tokensPerSecond / 1000), percent(redis), short(database)])
  ])
  const sentence = (remote: number, who: string) =>
    `With ${who}, Redis is full from ${many(replicasThatFillRedis(costs, { tokens, remote }))} replicas on, a PostgreSQL of ${cores} cores from ${many(replicasThatFillDatabase(costs, { tokens, remote }, cores))}.`
  return [
    table([['replicas', 'thousand tokens a second', 'of Redis\'s core', 'cores of PostgreSQL', 'thousand tokens a second, spread', 'of Redis\'s core', 'cores of PostgreSQL'], ...rows]),
    `Answers of ${tokens} tokens at 20 ms each; every part is loaded to ${FULL * 100} % at the most. ${sentence(0, 'readers beside their runs')} ${sentence(1, 'every reader elsewhere')}`
  ].join('\n\n')
}

function many (replicas: number): string {
  return replicas === Infinity ? 'no number of' : String(Math.ceil(replicas))
}

function percent (part: number): string {
  return `${short(part * 100)} %`
}

function table ([head, ...rows]: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(head!), `|${'---|'.repeat(head!.length)}`, ...rows.map(line)].join('\n')
}
