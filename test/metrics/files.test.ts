import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { METRICS } from '../../src/metrics/metrics.js'
import { readDocument, tableOf } from '../docs/markdown.js'

const ROOT = new URL('../../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, ROOT), 'utf8')
/** Labels that Prometheus adds by itself. */
const OF_PROMETHEUS = ['job', 'instance']
const SERIES = new Map(METRICS.flatMap(metric => {
  const labels = { ...metric.labels, ...Object.fromEntries(OF_PROMETHEUS.map(label => [label, undefined])) }
  if (metric.type !== 'histogram') return [[metric.name, labels] as const]
  return [[`${metric.name}_bucket`, { ...labels, le: undefined }] as const, [`${metric.name}_sum`, labels] as const, [`${metric.name}_count`, labels] as const]
}))

t.test('each expression of the dashboards asks for metrics that there are, by labels and values that they have', async t => {
  for (const file of readdirSync(new URL('deploy/grafana', ROOT))) {
    const { panels } = JSON.parse(read(`deploy/grafana/${file}`)) as { panels: Array<{ title: string, targets?: Array<{ expr: string }> }> }
    const expressions = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const))
    t.ok(expressions.length > 20)
    for (const [title, expression] of expressions) holds(t, expression, `${file}: ${title}`)
  }
})

t.test('each alert asks for metrics that there are, by labels and values that they have', async t => {
  const alerts = [...read('deploy/prometheus/alerts.yml').matchAll(/alert: (\w+)\n +expr: (.*)\n/g)]
  t.ok(alerts.length > 10)
  for (const [, name, expression] of alerts) holds(t, expression!, name!)
  const page = readDocument('docs/how-to/watch.md')
  const listed = page.sections.flatMap(({ tables }) => tables).filter(({ columns }) => columns[0] === 'alert').flatMap(({ rows }) => rows.map(([name]) => name!))
  t.strictSame(listed.sort(), alerts.map(([, name]) => name).sort(), 'watch.md says of each what to do')
})

t.test('watch.md lists every metric with its labels', async t => {
  const page = readDocument('docs/how-to/watch.md')
  const rows = page.sections.filter(({ tables }) => tables.some(({ columns }) => columns[0] === 'metric')).flatMap(section => tableOf(section, 'metric').rows)
  const listed = rows.map(([name, labels]) => `${name} ${labels!.replaceAll(' ', '')}`)
  t.strictSame(listed.sort(), METRICS.map(({ name, labels }) => `${name} ${Object.keys(labels).join()}`).sort())
})

t.test('an expression that asks for what there is not is found', async t => {
  for (const expression of ['rate(jeesi_run_total[5m])', 'jeesi_runs_total{status="failed"}', 'jeesi_runs_total{state=~"failed|broken"}', 'sum by (model) (jeesi_tokens_total)', 'jeesi_run_seconds']) {
    t.ok(problemsOf(expression).length > 0, expression)
  }
})

function holds (t: Test, expression: string, name: string): void {
  t.strictSame(problemsOf(expression), [], `${name}: ${expression}`)
}

/** What an expression asks for that there is not. */
function problemsOf (expression: string): string[] {
  const asked = [...expression.matchAll(/\b((?:jeesi|process)_\w+)(?:\{([^}]*)\})?/g)]
  const problems = asked.flatMap(([, name, matchers = '']) => {
    const labels = SERIES.get(name!)
    if (!labels) return [`no metric ${name}`]
    return [...matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].flatMap(([, label, operator, value]) => {
      if (!(label! in labels)) return [`${name} has no label ${label}`]
      const known = (labels as Record<string, readonly string[] | undefined>)[label!]
      const values = operator!.includes('~') ? value!.split('|') : [value!]
      return known ? values.filter(value => !known.includes(value)).map(value => `${name} has no ${label} ${value}`) : []
    })
  })
  const labels = new Set(asked.flatMap(([, name]) => Object.keys(SERIES.get(name!) ?? {})))
  const grouped = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(/, */))
  return [...problems, ...grouped.filter(label => !labels.has(label)).map(label => `no label ${label}`)]
}
