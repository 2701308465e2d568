import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t, { type Test } from 'tap'
import { signAccessToken } from '../../src/auth/access-token.js'
import { lockDirectory } from '../../src/database/directory-lock.js'
import { ALL_EVENTS, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER } from '../support/helper.js'
import { LOOK_MS } from '../support/until.js'
import { launch } from '../support/process.js'
import { often } from '../support/scope.js'

t.test('a second process is refused in one clear sentence, and the first goes on', async t => {
  const dataDir = await createDataDir(t)
  const first = await start(t, dataDir)
  const second = launchService(t, dataDir)
  const [told, [code]] = await Promise.all([text(second.stderr!), once(second, 'exit')])
  t.equal(told, `The data directory ${dataDir} is in use by process ${first.child.pid}: stop that one, or set DATA_DIR to another directory\n`)
  t.equal(code, 1)
  t.match(await first.get('/api/credits'), { creditsRemaining: 100 })
  first.child.kill('SIGTERM')
  await once(first.child, 'exit')
  t.notOk((await readdir(dataDir)).includes('lock'), 'and leaves no lock when it ends')
})

t.test('a process killed with -9', async t => {
  const dataDir = await createDataDir(t)
  const killed = await start(t, dataDir)
  const answers = await Promise.all([1, 2, 3].map(async n => {
    const response = await killed.execute({ stream: false, messages: [{ role: 'user', content: `No ${n}` }] })
    return await response.json() as { runId: string, response: string }
  }))
  const underway = (await killed.execute({})).headers.get('x-run-id')!
  const secret = await readFile(join(dataDir, 'jwt-secret'), 'utf8')
  killed.child.kill('SIGKILL')
  await once(killed.child, 'exit')
  await access(join(dataDir, 'lock'))
  const service = await start(t, dataDir)

  t.test('does not refuse the next one its directory', async t => {
    t.equal(JSON.parse(await readFile(join(dataDir, 'lock'), 'utf8')).pid, service.child.pid)
  })

  t.test('has lost no run that was acknowledged, and no credit', async t => {
    for (const { runId, response } of answers) {
      t.match(response, /^You said: "No \d"/)
      t.match(await service.get(`/api/runs/${runId}`), { status: 'succeeded', response, creditsCharged: 1 })
    }
    t.match(await service.get(`/api/runs/${underway}`), { runId: underway, agentId: DEMO_AGENT })
    const { creditsRemaining, creditsReserved, creditsUsedThisMonth } = await service.get('/api/credits')
    t.equal(creditsRemaining + creditsReserved + creditsUsedThisMonth, 100)
    t.equal(creditsUsedThisMonth, 3)
  })

  t.test('had a JWT secret of its own making, which is kept, and nobody else may read', async t => {
    const path = join(dataDir, 'jwt-secret')
    t.match(secret, /^[0-9a-f]{64}$/)
    t.equal(await readFile(path, 'utf8'), secret)
    t.equal((await stat(path)).mode & 0o777, 0o600)
    t.match(await service.get('/api/credits'), { creditsReserved: Number })
  })
})

t.test('a JWT secret that a kill left empty is made anew', async t => {
  const dataDir = await createDataDir(t)
  await writeFile(join(dataDir, 'jwt-secret'), '')
  const service = await start(t, dataDir).catch(error => error as Error)
  if (service instanceof Error) return t.fail(service.message)
  t.match(await readFile(join(dataDir, 'jwt-secret'), 'utf8'), /^[0-9a-f]{64}$/)
})

t.test('a first boot that is killed with -9 at whatever moment, and again, leaves a directory that the next makes whole', async t => {
  const dataDir = await createEmptyDir(t)
  for (const latest of [0, 600, 2500]) {
    const child = launchService(t, dataDir)
    const exited = once(child, 'exit')
    await Promise.race([untilIsBooting(dataDir, child), exited])
    const moment = Math.random() * latest
    await Promise.race([delay(moment), exited])
    child.kill('SIGKILL')
    t.same(await exited, [null, 'SIGKILL'], `killed ${Math.round(moment)} ms into its boot`)
  }
  const service = await start(t, dataDir)
  t.match(await service.get('/api/credits'), { creditsRemaining: 100, creditsReserved: 0 })
  t.match(await (await service.execute({ stream: false })).json(), { response: String, creditsUsed: 1 })
  t.same((await readdir(dataDir)).sort(), ['jwt-secret', 'lock', 'lock.address', 'postgres'], 'and nothing half-made is left')
})

t.test('the lock of a directory', async t => {
  t.test('of a process that is gone, or whose number another has now, or that is torn, holds nothing', async t => {
    const torn = ['', '{"pid":', 'null', '{}']
    const gone = [{ pid: 2 ** 22 + 1, started: 'x' }, { pid: process.ppid, started: 'another boot/1' }]
    for (const content of [...torn, ...gone.map(owner => JSON.stringify(owner))]) {
      const directory = t.testdir({ lock: content })
      const unlock = await lockDirectory(directory)
      t.match(JSON.parse(await readFile(join(directory, 'lock'), 'utf8')), { pid: process.pid }, content)
      await unlock()
      t.same(await readdir(directory), [], 'given free, there is nothing left')
    }
  })

  t.test('goes to one of several who want it at once, in a new directory as in one whose owner is dead', async t => {
    const file = join(t.testdir(), 'taker.mjs')
    await build({ stdin: { contents: TAKER, resolveDir: HERE }, outfile: file, bundle: true, platform: 'node', format: 'esm' })
    const takers = await Promise.all([1, 2, 3, 4].map(() => startTaker(t, file)))
    const winners = async (content: Record<string, string>) => {
      const directory = t.testdir(content)
      return (await Promise.all(takers.map(take => take(directory)))).filter(Boolean).length
    }
    const counts = { new: new Set<number>(), dead: new Set<number>() }
    for (let round = 0; round < often(300); round++) counts.new.add(await winners({}))
    for (let round = 0; round < 20; round++) counts.dead.add(await winners({ lock: '{"pid":4194305,"started":"x"}' }))
    t.same([...counts.new], [1], 'winners in a new directory')
    t.same([...counts.dead], [1], 'winners where the owner is dead')
  })
})

const HERE = fileURLToPath(new URL('.', import.meta.url))

/** Tries for the lock of each directory it is told, and tells whether it got it. */
const TAKER = `
  import { lockDirectory } from '../../src/database/directory-lock.js'
  process.on('message', directory => lockDirectory(directory).then(() => process.send(true), () => process.send(false)))
  process.send('ready')`

async function startTaker (t: Test, file: string): Promise<(directory: string) => Promise<boolean>> {
  const child = fork(file, { execArgv: [] })
  t.teardown(() => child.kill())
  await once(child, 'message')
  return async directory => {
    const answer = once(child, 'message')
    child.send(directory)
    return (await answer)[0]
  }
}

async function createEmptyDir (t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'jeesi-test-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A first boot has begun to make its database. */
async function untilIsBooting (dataDir: string, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const names = await readdir(dataDir)
    if (names.includes('postgres') || names.some(name => name === `postgres.new-${child.pid}`)) return
    await delay(LOOK_MS)
  }
}

/** The service as its own process. */
function launchService (t: Test, dataDir: string): ChildProcess {
  return launch(t, 'server.js', [], { NODE_ENV: 'development', HOST: '127.0.0.1', PORT: '0', DATA_DIR: dataDir, DRAIN_SECONDS: '0' })
}

/** Starts it and waits until it listens. */
async function start (t: Test, dataDir: string) {
  const child = launchService(t, dataDir)
  const said = text(child.stderr!)
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (!url) continue
    child.stdout!.resume()
    const headers = { 'x-api-key': DEMO_KEY }
    return {
      child,
      get: async (path: string): Promise<any> => {
        const secret = await readFile(join(dataDir, 'jwt-secret'), 'utf8')
        return (await fetch(url + path, { headers: { authorization: `Bearer ${await signAccessToken(secret, DEMO_USER)}` } })).json()
      },
      execute: (body: object) => fetch(`${url}/api/agent/execute`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...headers },
        body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], ...body })
      })
    }
  }
  throw new Error(`The service did not start: ${await said}`)
}
