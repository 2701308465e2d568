import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { startCollector } from '../support/doubles/otlp-collector.js'
import { bearer, createDataDir, DEMO_AGENT, JWT_SECRET } from '../support/helper.js'
import { launch, pathOf } from '../support/process.js'

/** The files of the build that can send spans. */
async function partsOfTraces (): Promise<string[]> {
  const folder = dirname(pathOf('server.js'))
  const names = (await readdir(folder)).filter(name => name.endsWith('.js'))
  const texts = await Promise.all(names.map(async name => [name, await readFile(join(folder, name), 'utf8')] as const))
  return texts.filter(([, text]) => text.includes('resourceSpans')).map(([name]) => name)
}

/** Starts the program that is deployed, has it make a run, and ends it. Returns which files it has loaded, and its log. */
async function run (t: Test, variables: Record<string, string> = {}): Promise<{ loaded: string[], lines: string[], endMs: number }> {
  const coverage = t.testdir()
  const child = launch(t, 'server.js', [], {
    PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', DATA_DIR: await createDataDir(t), SUPABASE_JWT_SECRET: JWT_SECRET, DRAIN_SECONDS: '0', NODE_V8_COVERAGE: coverage, ...variables
  })
  child.stderr!.resume()
  const lines: string[] = []
  const listening = new Promise<string>(resolve => {
    createInterface({ input: child.stdout! }).on('line', line => {
      lines.push(line)
      const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
      if (url) resolve(url)
    })
  })
  const response = await fetch(`${await listening}/api/agent/execute`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...await bearer() }, body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false })
  })
  t.equal(response.status, 200)
  const endsAt = performance.now()
  child.kill('SIGTERM')
  await once(child, 'close')
  const endMs = performance.now() - endsAt
  const reports = await Promise.all((await readdir(coverage)).map(async name => JSON.parse(await readFile(join(coverage, name), 'utf8'))))
  return { loaded: reports.flatMap(({ result }) => result.map(({ url }: { url: string }) => basename(url))), lines, endMs }
}

t.test('without a collector nothing that makes or sends spans is loaded, and with one it is, and what waits is sent at the end', async t => {
  const parts = await partsOfTraces()
  t.equal(parts.length, 1, 'it is a file of its own')
  const without = await run(t)
  t.ok(without.loaded.includes('server.js'))
  t.notOk(without.loaded.includes(parts[0]!))
  const disabled = await run(t, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_SDK_DISABLED: 'true' })
  t.notOk(disabled.loaded.includes(parts[0]!))
  const collector = await startCollector(t)
  const traced = await run(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  t.ok(traced.loaded.includes(parts[0]!))
  t.same(collector.spans.map(({ name }) => name.split(' ')[0]).sort(), ['POST', 'attempt', 'chat', 'invoke_agent', 'step'])
})

t.test('a collector that takes the connection and never answers holds up neither a run nor, for long, the end', async t => {
  const collector = await startCollector(t)
  collector.handler = () => {}
  const { lines, endMs } = await run(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-key=do-not-log-this' })
  t.ok(collector.raw.length > 0)
  t.ok(endMs < 9_000, `${endMs} ms`)
  t.ok(lines.some(line => line.includes('"part":"traces"')), 'the log says what was left behind')
  t.notOk(lines.some(line => line.includes('do-not-log-this')))
})
