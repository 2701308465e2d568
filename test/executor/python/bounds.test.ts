import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { probeConfinement } from '../../../src/executor/python/confinement.js'
import type { PythonJob } from '../../../src/executor/python/job.js'
import { PythonPool } from '../../../src/executor/python/pool.js'
import { bearer, createDataDir, DEMO_USER, OTHER_USER, type Service, startService } from '../../support/helper.js'
import { allGone, createAgents, createFolder, findPython } from '../../support/python.js'

/** The processes of this file's workers are found by their bound, which is in their command lines. */
const MEMORY_MB = 500 + process.pid % 12
const MAX_PROCESSES = 24
const TOO_MANY = `It started more processes than PYTHON_MAX_PROCESSES (${MAX_PROCESSES}) allows.`
const TOO_MANY_THREADS = `It started more threads than PYTHON_MAX_PROCESSES (${MAX_PROCESSES}) allows, which is 16 times as many.`
const TOO_MUCH = `It and the processes that it started need more than PYTHON_MEMORY_MB (${MEMORY_MB}) allows.`
/** Milliseconds; what others may wait at most, beside what this thread waits for a processor, which the attackers leave to others: see niceness. */
const MAX_WAIT = 1_000

t.test('the bounds of a Python worker', async t => {
  const command = await findPython(t)
  if (!command) return
  if (!(await probeConfinement(command, { PATH: process.env.PATH! }))?.bounds) return t.comment('LEFT OUT: this system does not list the children of a process')

  const create = (t: Test, workers: number) => {
    const pool = new PythonPool({
      command, searchPath: process.env.PATH, memoryMb: MEMORY_MB, maxProcesses: MAX_PROCESSES, workers, log: pino({ level: 'silent' })
    })
    t.teardown(() => pool.close())
    return async (name: string, prompt = '', job: Partial<PythonJob> = {}) => {
      let text = ''
      await pool.run('user', {
        entrypoint: `attacks:${name}`,
        input: { prompt },
        signal: new AbortController().signal,
        maxOutput: 1_000,
        onText: part => { text += part },
        onProgress () {},
        ...job
      })
      return text
    }
  }

  t.test('a run that exceeds one is tried again only if its worker has run others, which may have left something in memory', async t => {
    const run = create(t, 1)
    await t.rejects(run('hogs', '12 200'), { message: TOO_MUCH, workerDied: false })
    t.equal(await run('niceness'), '10 1000')
    await t.rejects(run('hogs', '12 200'), { message: TOO_MUCH, workerDied: true })
  })

  t.test('hold for all processes that it starts', async t => {
    const run = create(t, 2)
    /** Runs an attack, and sees that nothing is left of it, and that the next run works. */
    const fails = async (t: Test, name: string, prompt: string, message: string) => {
      await t.rejects(run(name, prompt), { message })
      await noneLeft()
      t.equal(await run('niceness'), '10 1000')
    }

    t.test('of which there may be so many', async t => {
      await fails(t, 'forks', '400', TOO_MANY)
      await fails(t, 'fork_bomb', '', TOO_MANY)
    })

    t.test('also those that have left its session, environment and parent', async t => {
      const notes = join(await createFolder(t), 'notes')
      await t.rejects(run('strangers', `50 ${notes}`), { message: TOO_MANY })
      const strangers = pidsIn(notes)
      // Each is a shell and what it waits for.
      t.ok(strangers.length > MAX_PROCESSES / 3)
      await allGone(strangers)
    })

    t.test('threads too, of which there may be 16 times as many', t => fails(t, 'many_threads', '2000', TOO_MANY_THREADS))

    t.test('of memory together', async t => {
      const file = join(await createFolder(t), 'taken')
      await fails(t, 'grows', file, TOO_MUCH)
      const taken = statSync(file).size * 5
      t.ok(taken > MEMORY_MB / 2 && taken < 12 * 200, `${taken} MiB were taken`)
      await fails(t, 'hogs', '12 200', TOO_MUCH)
      await fails(t, 'unreadable_hogs', '12 200', TOO_MUCH)
      await fails(t, 'headless_hogs', '12 200', TOO_MUCH)
      await fails(t, 'twins', '12 100', TOO_MUCH)
    })

    t.test('but what they share counts once', async t => {
      t.equal(await run('shares'), 'shared')
    })

    t.test('and nothing of a run outlives it, whether it ended or was cancelled', async t => {
      const survivor = Number(await run('survives'))
      t.ok(survivor > 0)
      await allGone([survivor])
      t.equal(await run('relay'), 'left')
      await noneLeft()
      const cancelled = new AbortController()
      const notes = join(await createFolder(t), 'notes')
      const onText = () => cancelled.abort(new Error('cancelled'))
      await t.rejects(run('strangers', `10 ${notes}`, { signal: cancelled.signal, onText }), { message: 'cancelled' })
      t.equal(pidsIn(notes).length, 10)
      await allGone(pidsIn(notes))
      await noneLeft()
    })
  })

  t.test('keep the service for all others', async t => {
    const DATA_DIR = await createDataDir(t)
    const attacks = ['attacks:fork_bomb', 'attacks:hogs', 'attacks:burns']
    const ids = await createAgents(DATA_DIR, [...attacks, 'agents:plain'])
    const service = await startService(t, {
      DATA_DIR, PYTHON_BIN: command, PYTHON_MEMORY_MB: `${MEMORY_MB}`, PYTHON_MAX_PROCESSES: `${MAX_PROCESSES}`, PYTHON_WORKERS: '3'
    })
    const ask = (agent: string, prompt: string) => ({ agentId: ids[agent], messages: [{ role: 'user', content: prompt }] })
    await service.execute(ask('agents:plain', 'first'))
    const others = feel(service, () => service.execute(ask('agents:plain', 'you')), () => service.execute())
    const attacker = await bearer(OTHER_USER)
    const [bomb, hogs, burns] = await Promise.all([
      service.execute(ask('attacks:fork_bomb', ''), attacker),
      service.execute(ask('attacks:hogs', '12 200'), attacker),
      service.execute(ask('attacks:burns', `${MAX_PROCESSES - 1} 3`), attacker)
    ])
    const felt = await others.end()
    t.match(bomb.events.at(-1), { type: 'error', code: 'python_failed', error: TOO_MANY })
    t.match(hogs.events.at(-1), { type: 'error', code: 'python_failed', error: TOO_MUCH })
    t.equal(burns.text, 'started burnt', 'who stays within the bounds may compute')
    t.same(felt.lost, [])
    t.ok(felt.runs >= 2, `${felt.runs} runs of others meanwhile`)
    t.ok(felt.latestHealth < MAX_WAIT, `health after ${felt.latestHealth} ms at the latest`)
    t.match((await service.request('GET', '/ready')).body, { python: 'up' })
    t.equal((await service.credits(DEMO_USER)).creditsReserved, 0)
    await service.app.close()
    await noneLeft()
  })
})

/** What others feel until the end: `/health` every 100 ms, and their runs, one after the other. */
function feel (service: Service, ...kinds: Array<() => ReturnType<Service['execute']>>) {
  const felt = { latestHealth: 0, runs: 0, lost: [] as unknown[], ended: false }
  const health = async () => {
    while (!felt.ended) {
      const [started, waited] = [performance.now(), waitedMs()]
      if ((await service.request('GET', '/health')).status !== 200) felt.lost.push('health')
      felt.latestHealth = Math.max(felt.latestHealth, Math.round(performance.now() - started - (waitedMs() - waited)))
      await delay(100)
    }
  }
  const runs = async (execute: () => ReturnType<Service['execute']>) => {
    while (!felt.ended) {
      const { events } = await execute()
      if (events.at(-1)?.type !== 'done') felt.lost.push(events.at(-1))
      felt.runs++
      // Their credits shall last.
      await delay(300)
    }
  }
  const all = Promise.all([health(), ...kinds.map(runs)])
  return {
    async end () {
      felt.ended = true
      await all
      return felt
    }
  }
}

/** How long the thread of the service has been ready to run and had no processor. */
function waitedMs (): number {
  return Number(read(`/proc/self/task/${process.pid}/schedstat`).split(' ')[1] ?? 0) / 1e6
}

/** The processes of this file's workers, their guards and all that they have forked. */
function workers (): Array<{ pid: number, parent: number }> {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number)
  return pids.filter(pid => read(`/proc/${pid}/cmdline`).includes(`\0${MEMORY_MB}\0${MAX_PROCESSES}\0`)).map(pid => {
    // After the name, which may contain anything: the state and the parent.
    const [, parent] = read(`/proc/${pid}/stat`).split(') ').at(-1)!.split(' ')
    return { pid, parent: Number(parent) }
  })
}

/** Waits until the only processes are idle workers and their guards, which are children of this process. */
async function noneLeft (): Promise<void> {
  for (;;) {
    const left = workers()
    const guards = left.filter(({ parent }) => parent === process.pid)
    if (left.length <= guards.length * 2) return
    await delay(10)
  }
}

function pidsIn (notes: string): number[] {
  return read(notes).split(' ').filter(Boolean).map(Number)
}

function read (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process has ended.
    return ''
  }
}
