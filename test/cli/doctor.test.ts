import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { createDataDir, createPostgres, findPostgres, JWT_SECRET, startService } from '../support/helper.js'
import { run } from '../support/process.js'

interface Finding { check: string, state: string, says: string, advice?: string }

async function examine (t: Test, variables: Record<string, string>, ...args: string[]) {
  const { code, stdout, stderr } = await run(t, 'cli.js', ['doctor', '--json', ...args], { PATH: process.env.PATH!, ...variables })
  t.equal(stderr, '')
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean, findings: Finding[] }
  return { code, ok, stdout, of: (check: string) => findings.filter(finding => finding.check === check), findings }
}

/** A server that answers every request so. */
async function answer (t: Test, status: number, body: object, headers: Record<string, string> = {}): Promise<string> {
  const server = createServer((_, response) => { response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body)) })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close(); server.closeAllConnections() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('the doctor finds nothing wrong where nothing is, and says a line for each check', async t => {
  const dataDir = await createDataDir(t)
  const { code, stdout } = await run(t, 'cli.js', ['doctor'], { PATH: process.env.PATH!, DATA_DIR: dataDir })
  t.equal(code, 0, stdout)
  for (const check of ['variables', 'supabase', 'keys', 'database', 'token', 'gateway', 'redis', 'python', 'draining', 'clock']) {
    t.match(stdout, new RegExp(`^(ok  |note)   ${check} +\\S`, 'm'), check)
  }
})

t.test('the doctor goes on when checks fail, ends with 1, and tells no secret', async t => {
  const gateway = await answer(t, 401, { error: 'no' })
  const project = await answer(t, 200, { keys: [] }, { date: new Date(Date.now() + 3_600_000).toUTCString() })
  const { code, ok, of, stdout } = await examine(t, {
    NODE_ENV: 'production',
    PORT: 'many',
    SUPABASE_URL: project,
    SUPABASE_SERVICE_ROLE_KEY: 'sb_secret_not_for_the_eyes',
    AI_GATEWAY_URL: `${gateway}/v1`,
    LOVABLE_API_KEY: 'gateway-key-not-for-the-eyes',
    REDIS_URL: 'redis://:redis-password@127.0.0.1:1',
    PYTHON_BIN: '/nowhere/python',
    RAILWAY_PROJECT_ID: 'x'
  })
  t.equal(code, 1)
  t.equal(ok, false)
  t.match(of('variables')[0], { state: 'wrong', says: /^PORT must be/ })
  t.match(of('supabase'), [{ state: 'wrong', says: /publishes no keys/, advice: /dashboard/ }])
  t.match(of('keys'), [{ state: 'ok', says: /secret key \(sb_secret_…\)/ }])
  t.match(of('database'), [{ state: 'wrong' }])
  t.match(of('gateway'), [{ state: 'wrong', says: /does not accept the key \(401\)/, advice: /LOVABLE_API_KEY/ }])
  t.match(of('redis'), [{ state: 'wrong' }])
  t.match(of('python'), [{ state: 'wrong', says: 'there is no /nowhere/python' }])
  t.match(of('clock'), [{ state: 'wrong', says: /^this machine is 3[56]\d\d s behind Supabase$/ }])
  t.match(of('draining'), [{ state: 'wrong', says: /RAILWAY_DEPLOYMENT_DRAINING_SECONDS is not set/ }])
  t.notMatch(stdout, /for_the_eyes|for-the-eyes|redis-password/)
})

t.test('the doctor shows a token to the service that is named, and compares clocks with the database', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const service = await startService(t, { SUPABASE_DB_URL: url })
  const variables = { SUPABASE_DB_URL: url, AI_GATEWAY_URL: service.gateway.url, LOVABLE_API_KEY: 'test-gateway-key', SUPABASE_JWT_SECRET: JWT_SECRET }
  const well = await examine(t, variables, '--service', service.url)
  t.match(well.of('database'), [{ state: 'ok', says: /PostgreSQL .+ answers, with the migrations/ }])
  t.match(well.of('token'), [{ state: 'ok', says: /takes a token/ }])
  t.match(well.of('clock'), [{ state: 'ok', says: /the database/ }])
  const other = await examine(t, { ...variables, SUPABASE_JWT_SECRET: 'another-secret-than-that-of-the-service' }, '--service', service.url)
  t.match(other.of('token'), [{ state: 'wrong', says: /answers 401/, advice: /SUPABASE_JWT_SECRET/ }])
  t.equal(other.code, 1)
})
