import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { say, startGateway } from '../support/doubles/gateway.js'
import { bearer, createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, JWT_SECRET, OTHER_USER } from '../support/helper.js'
import { commandOf } from '../support/process.js'
import { HonestProcess } from '../siege/honest-process.js'
import { MAX_STALL_MS } from '../siege/siege.js'

const LARGE_RUNS = 40
const LARGE = JSON.stringify({ agentId: DEMO_AGENT, background: true, messages: [{ role: 'user', content: 'x'.repeat(9_500_000) }] })
const SMALL = JSON.stringify({ agentId: DEMO_AGENT, stream: false, messages: [{ role: 'user', content: 'Hi' }] })
const PAUSE_MS = 100

/** A database in which both users have credits for all runs. */
async function createDatabase (t: Test): Promise<string> {
  const url = await createPostgres(t)
  const client = new pg.Client(url)
  await client.connect()
  await client.query('update public.credit_balances set credits_remaining = 100000')
  await client.end()
  return url
}

/** The service as it runs, with a heap of 512 MB, beside a PostgreSQL. */
async function start (t: Test, gateway: string) {
  const [command, args] = commandOf('server.js', [], {
    PORT: '0',
    HOST: '127.0.0.1',
    SUPABASE_DB_URL: await createDatabase(t),
    SUPABASE_JWT_SECRET: JWT_SECRET,
    AI_GATEWAY_URL: gateway,
    LOVABLE_API_KEY: 'key',
    LOG_LEVEL: 'info',
    RATE_LIMIT_BYTES: '1000000000',
    DRAIN_SECONDS: '0'
  }, ['--max-old-space-size=512'])
  const child = spawn(command, args, { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.on('data', data => { said += String(data) })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', line => {
      const found = /listening at ([^"]+)/.exec(line)?.[1]
      if (found) resolve(found)
    })
    child.once('exit', () => reject(new Error(said)))
  })
  return { child, url, said: () => said }
}

/** Sends as an honest client does: what is refused with Retry-After is sent again then. Returns how often it was refused. */
async function send (url: string, body: string, userId: string): Promise<number> {
  for (let refusals = 0; ; refusals++) {
    const response = await fetch(`${url}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...await bearer(userId) },
      body
    })
    const text = await response.text()
    if (response.ok) return refusals
    const retryAfter = Number(response.headers.get('retry-after'))
    if (response.status !== 503 || !(retryAfter > 0)) throw new Error(`${response.status} ${text.slice(0, 200)}`)
    await delay(retryAfter * 1000)
  }
}

t.test('a process with a heap of 512 MB takes forty bodies of nearly the largest size at once', { skip: await findPostgres(t) ? false : 'no PostgreSQL' }, async t => {
  const large = { calls: 0 }
  const answer = say('Hello')
  const gateway = await startGateway(t, (response, call, number) => {
    if (Number(call.headers['content-length']) > 9_000_000) large.calls++
    call.body = undefined
    return answer(response, call, number)
  })
  const { child, url, said } = await start(t, gateway.url)
  // Asks /health in a process of its own: this one is busy with forty bodies itself.
  const probe = await HonestProcess.start()
  t.teardown(() => probe.leave())
  probe.meet([{ url, pid: child.pid! }], [])
  probe.start()
  const over = new AbortController()
  let smallRuns = 0
  const runSmall = async () => {
    for (; !over.signal.aborted; smallRuns++) {
      await send(url, SMALL, OTHER_USER)
      await delay(PAUSE_MS)
    }
  }
  const others = runSmall()
  await Promise.race([
    Promise.all(Array.from({ length: LARGE_RUNS }, () => send(url, LARGE, DEMO_USER))),
    once(child, 'exit').then(() => { throw new Error(said().slice(-2000)) })
  ])
  while (large.calls < LARGE_RUNS) await gateway.nextCall()
  over.abort()
  await others
  t.equal(child.exitCode, null, 'and goes on')
  const { longestStall, machineStall } = await probe.stop()
  t.ok(longestStall <= machineStall + MAX_STALL_MS, `GET /health was answered after ${longestStall} ms at the latest, a server that does nothing after ${machineStall} ms`)
  t.ok(smallRuns > 0, `${smallRuns} runs of another user ended meanwhile`)
})
