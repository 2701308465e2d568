import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import { createPostgres, DEMO_AGENT, endOf, findPostgres, JWT_SECRET, startService } from '../support/helper.js'
import { launch, run } from '../support/process.js'

t.test('a worker', async t => {
  t.test('makes runs that others begin, and answers nobody but probes', async t => {
    if (!await findPostgres(t)) return
    const url = await createPostgres(t)
    const web = await startService(t, { SUPABASE_DB_URL: url, MAX_CONCURRENT_RUNS: '0' })
    const child = launch(t, 'worker.js', [], {
      HOST: '127.0.0.1', PORT: '0', SUPABASE_DB_URL: url, SUPABASE_JWT_SECRET: JWT_SECRET, AI_GATEWAY_URL: web.gateway.url
    })
    const lines = createInterface({ input: child.stdout! })
    const [at] = await new Promise<string[]>(resolve => lines.on('line', line => {
      const match = /"message":"listening at http:\/\/localhost(:\d+)"/.exec(line)
      if (match) resolve([`http://127.0.0.1${match[1]}`])
    }))
    t.match(await (await fetch(`${at}/health`)).json(), { status: 'healthy' })
    t.match(await (await fetch(`${at}/ready`)).json(), { status: 'ready', redis: 'off' })
    for (const path of ['/api/agent/execute', '/api/runs', '/ws', '/api/admin/stats']) t.equal((await fetch(at + path)).status, 404, path)
    const { body } = await web.request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    })
    t.equal(body.status, 'queued')
    t.match(await endOf(web, body.runId), { status: 'succeeded', attempt: 1, response: 'Hello world', creditsCharged: 1 })
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    t.equal((await exited)[0], 0)
  })

  t.test('that could make nothing says why and ends', async t => {
    const nothing = await run(t, 'worker.js', [], {})
    t.match(nothing, { code: 1, stderr: 'config: SUPABASE_URL or SUPABASE_DB_URL is missing: a worker needs the database of those who begin runs\n' })
    const idle = await run(t, 'worker.js', [], { SUPABASE_DB_URL: 'postgres://localhost/x', SUPABASE_JWT_SECRET: 's', LOVABLE_API_KEY: 'k', MAX_CONCURRENT_RUNS: '0' })
    t.match(idle, { code: 1, stderr: 'config: MAX_CONCURRENT_RUNS must not be 0: a worker would make no run\n' })
  })
})
