import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { ALL_EVENTS, createDataDir, DEMO_KEY, parseStream, textOf } from '../../support/helper.js'
import { commandOf } from '../../support/process.js'
import { allGone, createAgents, findPython, isAlive } from '../../support/python.js'

const KEY = { 'x-api-key': DEMO_KEY }

t.test('a service that ends', async t => {
  const PYTHON_BIN = await findPython(t)
  if (!PYTHON_BIN) return

  t.test('by SIGTERM leaves no process and no folder behind, and has shown neither its environment', async t => {
    const DATA_DIR = await createDataDir(t)
    const ids = await createAgents(DATA_DIR, ['agents:stubborn', 'agents:environment', 'agents:other_environment'])
    const secrets = { LOVABLE_API_KEY: 'secret-of-the-gateway', RAILWAY_BACKEND_SECRET: 'secret-of-the-backend' }
    const { url, child } = await start(t, { DATA_DIR, PYTHON_BIN, DRAIN_SECONDS: '0', AI_GATEWAY_URL: 'http://127.0.0.1:9', ...secrets })
    const ask = async (name: string, prompt: string) => textOf(parseStream(await (await execute(url, ids[`agents:${name}`]!, prompt)).text()))
    const environment = await ask('environment', '')
    t.notMatch(environment, /secret-of/)
    const home = JSON.parse(environment).HOME
    t.ok(existsSync(home))
    const other = await ask('other_environment', `${child.pid}`)
    if (other.includes('secret-of')) t.comment('LEFT OUT: the kernel of this machine does not confine processes (Landlock)')
    else t.equal(other, 'PermissionError')

    const { pids } = await runStubborn(url, ids['agents:stubborn']!)
    t.equal(pids.length, 3)
    t.ok(pids.every(isAlive))
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    t.same(await exited, [0, null])
    await allGone(pids)
    t.notOk(existsSync(home))
  })

  t.test('by SIGKILL leaves no process behind, and the next does its run again', async t => {
    const DATA_DIR = await createDataDir(t)
    const ids = await createAgents(DATA_DIR, ['agents:stubborn'])
    const { url, child } = await start(t, { DATA_DIR, PYTHON_BIN })
    const { runId, pids } = await runStubborn(url, ids['agents:stubborn']!)
    child.kill('SIGKILL')
    await allGone(pids)

    const next = await start(t, { DATA_DIR, PYTHON_BIN })
    const again = await readPids(await fetch(`${next.url}/api/runs/${runId}/events?after=2`, { headers: KEY }))
    t.not(again.join(), pids.join())
    await fetch(`${next.url}/api/runs/${runId}/cancel`, { method: 'POST', headers: KEY })
    await allGone(again)
    t.match(await (await fetch(`${next.url}/api/runs/${runId}`, { headers: KEY })).json(), { status: 'cancelled', attempt: 2, creditsCharged: 1 })
  })
})

/** Starts the agent that ignores all, and waits until it and its children are there. */
async function runStubborn (url: string, agentId: string): Promise<{ runId: string, pids: number[] }> {
  const response = await execute(url, agentId, '')
  return { runId: response.headers.get('x-run-id')!, pids: await readPids(response) }
}

function execute (url: string, agentId: string, prompt: string): Promise<Response> {
  return fetch(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...KEY },
    body: JSON.stringify({ agentId, messages: [{ role: 'user', content: prompt }] })
  })
}

async function readPids (response: Response): Promise<number[]> {
  let raw = ''
  for await (const part of response.body!) {
    raw += Buffer.from(part)
    const text = textOf(parseStream(raw))
    if (text.includes('\n')) return text.trim().split(' ').map(Number)
  }
  throw new Error(`the stream ended: ${raw}`)
}

/** Starts the service, and waits until it listens. It sees no environment but this. */
async function start (t: Test, variables: Record<string, string>): Promise<{ child: ChildProcess, url: string }> {
  const command = commandOf('server.js', [], { HOST: '127.0.0.1', PORT: '0', ...variables })
  const child = spawn(...command, { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /listening at ([^"]+)"/.exec(line)?.[1]
    if (!url) continue
    child.stdout!.resume()
    return { child, url: url.replace('localhost', '127.0.0.1') }
  }
  throw new Error('the service did not start')
}
