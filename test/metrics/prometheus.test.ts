import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { readDocument } from '../docs/markdown.js'
import { startService } from '../support/helper.js'
import { LOOK_MS } from '../support/until.js'

const run = promisify(execFile)
const ALERTS = fileURLToPath(new URL('../../deploy/prometheus/alerts.yml', import.meta.url))
/** Waits for a few seconds of a busy machine. */
const PATIENCE_MS = 60_000

t.test('Prometheus', async t => {
  if (!await findPrometheus(t)) return

  t.test('finds no fault in the alerts, nor in the examples of its configuration', async t => {
    t.match((await run('promtool', ['check', 'rules', ALERTS])).stdout, /SUCCESS: \d+ rules found/)
    const examples = readDocument('docs/how-to/watch.md').fences.filter(({ language }) => language === 'yaml')
    t.equal(examples.length, 2)
    for (const { text } of examples) {
      const directory = t.testdir({ 'prometheus.yml': text })
      await copyFile(ALERTS, join(directory, 'alerts.yml'))
      t.match((await run('promtool', ['check', 'config', join(directory, 'prometheus.yml')])).stdout, /SUCCESS/)
    }
  })

  t.test('alerts when it has to', async t => {
    const directory = t.testdir({ 'test.yml': ALERT_TEST })
    await copyFile(ALERTS, join(directory, 'alerts.yml'))
    t.match((await run('promtool', ['test', 'rules', 'test.yml'], { cwd: directory })).stdout, /SUCCESS/)
  })

  t.test('reads what the service says, and finds no fault in it', async t => {
    const service = await startService(t)
    await service.execute()
    const text = await (await fetch(`${service.url}/metrics`)).text()
    const linting = run('promtool', ['check', 'metrics'])
    linting.child.stdin!.end(text)
    t.strictSame(await linting, { stdout: '', stderr: '' })

    const url = await startPrometheus(t, new URL(service.url).host)
    const ask = async (query: string) => {
      const { data } = await (await fetch(`${url}/api/v1/query?query=${encodeURIComponent(query)}`)).json() as { data: { result: Array<{ value: [number, string] }> } }
      return data.result[0]?.value[1]
    }
    const until = Date.now() + PATIENCE_MS
    while (await ask('jeesi_runs_total{state="succeeded",kind="execute"}') !== '1' && Date.now() < until) await delay(LOOK_MS)
    t.equal(await ask('sum(jeesi_runs_total)'), '1')
    t.equal(await ask('up{job="jeesi"}'), '1')
    t.equal(await ask('jeesi_first_token_seconds_count'), '1')
    const { data } = await (await fetch(`${url}/api/v1/rules`)).json() as { data: { groups: Array<{ rules: Array<{ name: string, health: string }> }> } }
    t.ok(data.groups[0]!.rules.length > 10)
    t.strictSame(data.groups[0]!.rules.filter(({ health }) => health === 'err'), [])
  })
})

/** Two runs in ten fail; the gateway refuses the key once; the database goes away. */
const ALERT_TEST = `
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'jeesi_runs_total{state="failed",kind="execute"}', values: '0+2x30' }
      - { series: 'jeesi_runs_total{state="succeeded",kind="execute"}', values: '0+8x30' }
      - { series: 'jeesi_gateway_failures_total{code="gateway_unauthorized"}', values: '0x20 1x10' }
      - { series: 'up{job="jeesi",instance="a"}', values: '1x5 0x4 _x20' }
      - { series: 'jeesi_database_up', values: '1x24 0x6' }
    alert_rule_test:
      - { eval_time: 5m, alertname: JeesiAway, exp_alerts: [] }
      - { eval_time: 8m, alertname: JeesiAway, exp_alerts: [{ exp_labels: { severity: critical, job: jeesi, instance: a }, exp_annotations: { summary: A process of the service cannot be scraped. } }] }
      - { eval_time: 20m, alertname: JeesiAway, exp_alerts: [{ exp_labels: { severity: critical, job: jeesi }, exp_annotations: { summary: A process of the service cannot be scraped. } }] }
      - { eval_time: 5m, alertname: JeesiRunsFail, exp_alerts: [] }
      - { eval_time: 20m, alertname: JeesiRunsFail, exp_alerts: [{ exp_labels: { severity: critical }, exp_annotations: { summary: More than one run in ten fails. } }] }
      - { eval_time: 20m, alertname: JeesiGatewayRefuses, exp_alerts: [] }
      - eval_time: 22m
        alertname: JeesiGatewayRefuses
        exp_alerts: [{ exp_labels: { severity: critical }, exp_annotations: { summary: 'The AI gateway refuses the key, or its account is empty. Nothing is answered until somebody acts.' } }]
      - { eval_time: 24m, alertname: JeesiDatabaseAway, exp_alerts: [] }
      - eval_time: 27m
        alertname: JeesiDatabaseAway
        exp_alerts: [{ exp_labels: { severity: critical }, exp_annotations: { summary: 'The database does not answer, or its schema does not fit. No run begins.' } }]
`

/** Whether Prometheus is installed. If not, the tests are left out with a comment; with REQUIRE_SERVICES it is an error. */
async function findPrometheus (t: Test): Promise<boolean> {
  try {
    await Promise.all([run('promtool', ['--version']), run('prometheus', ['--version'])])
    return true
  } catch (error) {
    if (process.env.REQUIRE_SERVICES) throw error
    t.comment('LEFT OUT: no prometheus and promtool in PATH; install Prometheus to run these tests')
    return false
  }
}

/** A Prometheus that scrapes a service ten times a second, with the alerts. Resolves to its URL. */
async function startPrometheus (t: Test, target: string): Promise<string> {
  const directory = t.testdir({})
  await writeFile(join(directory, 'prometheus.yml'), JSON.stringify({
    global: { scrape_interval: '100ms', scrape_timeout: '100ms', evaluation_interval: '100ms' },
    rule_files: [ALERTS],
    scrape_configs: [{ job_name: 'jeesi', scrape_interval: '1s', scrape_timeout: '1s', static_configs: [{ targets: [target] }] }]
  }))
  const address = `127.0.0.1:${await findFreePort()}`
  const child = spawn('prometheus', ['--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=${address}`], { cwd: directory, stdio: 'ignore' })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const until = Date.now() + PATIENCE_MS
  while (!await fetch(`http://${address}/-/ready`).then(({ ok }) => ok, () => false) && Date.now() < until) await delay(LOOK_MS)
  return `http://${address}`
}

async function findFreePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
