import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { PYTHON_FOLDER } from '../../../src/executor/python/confinement.js'
import { PythonError, type PythonJob } from '../../../src/executor/python/job.js'
import { PythonPool, type PythonPoolOptions } from '../../../src/executor/python/pool.js'
import { allGone, createFolder, findPython, isAlive } from '../../support/python.js'
import { until } from '../../support/until.js'

t.test('workers for Python', async t => {
  const command = await findPython(t)
  if (!command) return

  const create = (t: Test, options: Partial<PythonPoolOptions> = {}) => {
    const logs: string[] = []
    const log = pino({ level: 'debug' }, new Writable({ write (line, _encoding, done) { logs.push(String(line)); done() } }))
    const pool = new PythonPool({ command, searchPath: process.env.PATH, memoryMb: 512, maxProcesses: 64, workers: 2, log, ...options })
    t.teardown(() => pool.close())
    /** Runs one of the test's agents, and gives back what it has said. */
    const run = async (name: string, prompt = '', job: Partial<PythonJob> = {}) => {
      const texts: string[] = []
      const progress: object[] = []
      await pool.run(job.entrypoint ?? 'user', {
        entrypoint: name.includes(':') ? name : `agents:${name}`,
        input: { prompt, agent: { name: 'A' } },
        signal: new AbortController().signal,
        maxOutput: 8_000_000,
        onText: text => texts.push(text),
        onProgress: ({ fraction, message }: { fraction?: number, message?: string }) => progress.push({ fraction, message }),
        ...job
      })
      return { text: texts.join(''), texts, progress }
    }
    return { pool, run, logs }
  }
  const { pool, run, logs } = create(t)
  const failure = (name: string, prompt?: string, job?: Partial<PythonJob>) => run(name, prompt, job).then(
    () => { throw new Error('it did not fail') },
    (error: unknown) => {
      t.type(error, PythonError)
      return error as PythonError
    })

  t.test('run functions of all kinds', async t => {
    t.equal((await run('plain', 'World')).text, 'Hello World')
    t.equal((await run('structured', 'p')).text, '{"prompt": "p", "agent": "A", "é": [1, null]}')
    t.equal((await run('nothing')).text, '')
    t.same((await run('generator')).texts, ['0 ', '1 ', '2 ', '3 ', '4 ', 'end'])
    t.equal((await run('asynchronous', 'World')).text, 'Hello World')
    t.same((await run('async_generator')).texts, ['0 ', '1 ', '2 ', '3 ', '4 '])
    t.equal((await run('instance')).text, 'called')
  })

  t.test('are there again after an interpreter that could not be tried', async t => {
    const folder = await createFolder(t)
    const [killed, tried] = [join(folder, 'killed'), join(folder, 'tried')]
    writeFileSync(killed, `#!/bin/sh\n[ -e '${tried}' ] && exec '${command}' "$@"\n: > '${tried}'\nkill -9 $$\n`, { mode: 0o755 })
    const first = create(t, { command: killed, retryMs: 50 })
    t.match(await first.pool.detected, { reason: `${killed} could not be tried (SIGKILL)`, isPassing: true })
    await t.rejects(first.run('plain', 'World'), { code: 'python_unavailable' })
    await until(() => first.pool.isAvailable(), isAvailable => isAvailable)
    t.equal((await first.run('plain', 'World')).text, 'Hello World')
    t.match(first.logs.join(''), /"reason":"[^"]+\(SIGKILL\)".+"Python is not available for now"[^]+"Python is available again"/)
    t.strictSame(await create(t, { command: '/bin/false' }).pool.detected, { reason: '/bin/false is not a working Python' })
  })

  t.test('tell what is said when it is said, in order with the progress', async t => {
    const folder = await createFolder(t)
    const told: string[] = []
    // The agent goes on only when what it said before has arrived.
    await run('steps', folder, {
      onText: text => told.push(text),
      onProgress: ({ fraction, message }) => {
        told.push(`${message} ${fraction?.toFixed(1)}`)
        writeFileSync(join(folder, message!.slice(-1)), '')
      }
    })
    t.same(told, ['word 0. ', 'step 0 0.3', 'word 1. ', 'step 1 0.7', 'word 2. ', 'step 2 1.0'])
  })

  t.test('keep progress between 0 and 1, and its words short', async t => {
    const { progress } = await run('odd_progress')
    t.match(progress[0], { fraction: 1, message: undefined })
    t.match(progress[1], { fraction: undefined, message: 'm'.repeat(200) })
    t.same(progress.at(-1), { fraction: 1, message: 'last' })
  })

  t.test('bring any text through, in pieces that split no character', async t => {
    const { text, texts } = await run('unicode')
    t.equal(text, '😀'.repeat(100_000) + 'a\ufffdb\ufffd')
    t.ok(texts.length > 3 && texts.every(piece => piece.isWellFormed()))
  })

  t.test('tell in words what an exception says, and its traceback to the log alone', async t => {
    t.match(await failure('raises'), { message: 'ValueError: no such thing: \ufffd', workerDied: false })
    t.match(await failure('exits'), { message: 'SystemExit: 3' })
    t.match(await failure('raises_unprintable'), { message: 'Bad' })
    t.match(await failure('not_json'), { message: 'It returned a value of the type object, which has no JSON.' })
    t.ok(logs.some(line => line.includes('Traceback') && line.includes('no such thing')))
  })

  t.test('say what is wrong with an entrypoint', async t => {
    const cases: Array<[string, RegExp]> = [
      ['agents:no_such_function', /^The Python module agents has no function no_such_function\.$/],
      ['agents:not_callable', /^agents:not_callable is not a function\.$/],
      ['no_such_module:run', /^There is no Python module no_such_module\.$/],
      ['agents.deeper:run', /^There is no Python module agents\.deeper\.$/],
      ['lacks:run', /^The Python module lacks needs no_such_package, which is not installed\.$/],
      ['broken:run', /^The Python module broken cannot be imported: RuntimeError: at import$/],
      ['agents:plain.__call__', /must be package\.module:function/],
      ['../agents:plain', /must be package\.module:function/],
      [':', /must be package\.module:function/],
      ['agents:plain\n', /must be package\.module:function/]
    ]
    for (const [entrypoint, words] of cases) t.match((await failure('', '', { entrypoint })).message, words, entrypoint)
  })

  t.test('run nothing that is not of the modules that are installed for it', async t => {
    const strangers = [
      'subprocess:getoutput', 'os:system', 'os.path:exists', 'builtins:eval', 'sys:exit', 'json:loads', 'json.tool:main', 'posix:system', '_frozen_importlib:__import__',
      'zipimport:zipimporter', '__main__:main', 'worker:main', 'jeesi_worker.serve:serve', 'jeesi_worker:Cancelled', 'agents:Cancelled', '_ctypes:dlopen'
    ]
    for (const entrypoint of strangers) {
      t.equal((await failure('', 'true', { entrypoint })).message, `${entrypoint} is not one of this service's modules.`)
    }
    for (const name of ['borrowed', 'borrowed_in_part', 'borrowed_from_a_value']) {
      t.equal((await failure(name, 'true')).message, `agents:${name} is not one of this service's modules.`)
    }
    t.equal((await run('own_in_part', 'World')).text, 'Hello World')
    t.match((await run('examples.text_statistics:run', 'one two')).text, /./, 'nor is there need of an installation in the folder of the service')
  })

  t.test('read with the example no file outside its own folder, whatever the prompt names', async t => {
    const folder = await createFolder(t)
    const path = join(folder, 'secret.txt')
    writeFileSync(path, 'secretword secretword')
    for (const name of [path, `../../../../../../../../..${path}`, '/etc/passwd', '../requirements.txt', 'text_statistics.py']) {
      const { text } = await run('examples.text_statistics:run', `Look into ${name}`)
      t.match(text, /, made up for this run/, name)
      t.notMatch(text, /secretword/)
    }
  })

  t.test('are free again after an input that cannot be sent', async t => {
    const { pool, run } = create(t, { workers: 1 })
    const circular: Record<string, unknown> = {}
    circular.self = circular
    for (let i = 0; i < 2; i++) await t.rejects(run('plain', '', { input: circular, timeoutMs: 1 }), { message: 'Its input cannot be written as JSON.' })
    const pids = pool.pids
    t.equal((await run('plain', 'next')).text, 'Hello next')
    t.same(pool.pids, pids)
  })

  t.test('are given nothing once they are ending', async t => {
    if (!existsSync('/proc/self/status')) return t.comment('LEFT OUT: this machine does not tell what signals a process has yet to hear')
    // Long enough for the next worker to begin on a busy machine.
    const { pool, run } = create(t, { workers: 1, silenceMs: 5000 })
    await run('plain')
    const [guard] = pool.pids
    process.kill(-guard!, 'SIGSTOP')
    // It hears nothing of SIGTERM as long as it is stopped.
    while (!isToldToEnd(guard!)) await delay(10)
    t.same(pool.pids, [guard])
    t.equal((await run('plain', 'next')).text, 'Hello next')
  })

  t.test('keep what is printed out of the way, and tell it to the log within bounds', async t => {
    logs.length = 0
    t.equal((await run('prints')).text, 'fine')
    t.ok(logs.some(line => line.includes('printed text')))
    t.ok(logs.some(line => line.includes('logged text')))
    t.ok(logs.join('').length < 1_000_000)
  })

  t.test('are used again, by one job after the other', async t => {
    const first = await run('pid')
    for (let n = 0; n < 3; n++) t.same(await run('pid'), first)
    const failed = await failure('raises')
    t.notOk(failed.workerDied)
    t.same(await run('pid'), first, 'after an exception, too')
  })

  t.test('hear nothing any more of a job that is over', async t => {
    t.equal((await run('talks_on')).text, 'over')
    const { progress, text } = await run('listens')
    t.same({ progress, text }, { progress: [], text: 'heard' })
  })

  t.test('are replaced where a job leaves threads or processes behind, which end', async t => {
    const { run } = create(t, { workers: 1 })
    const { text: pid } = await run('leaves_a_thread')
    const { text: child } = await run('leaves_a_process')
    const { text: next } = await run('pid')
    t.not(next, pid)
    await allGone([Number(pid), Number(child)])
  })

  t.test('are replaced where a job leaves a daemon thread', async t => {
    const { run } = create(t, { workers: 1 })
    const { text: pid } = await run('leaves_a_daemon')
    t.not((await run('pid')).text, pid)
    await allGone([Number(pid)])
  })

  t.test('give the next job nothing of the timers and files of the one before, and stay', async t => {
    const { run } = create(t, { workers: 1 })
    const { text: pid } = await run('leaves_an_alarm')
    t.equal((await run('naps')).text, `${pid} True`)
    t.equal((await run('leaves_files')).text, pid)
    t.equal((await run('finds_files')).text, `${pid} [] []`)
  })

  t.test('end where they can hear no orders any more, so that their job is not waited for', async t => {
    // Its guard ends its process group.
    const worker = spawn(command, [join(PYTHON_FOLDER, 'worker.py'), '512', '64', '0'], { env: { PYTHONPATH: PYTHON_FOLDER, PATH: process.env.PATH }, detached: true, stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'] })
    const exited = once(worker, 'exit')
    await once(worker.stdio[4]!, 'data')
    ;(worker.stdio[3] as Writable).write('nonsense\n')
    t.same(await exited, [1, null])
  })

  t.test('what writes to the channel is found out, and the worker replaced', async t => {
    t.match(await failure('garbage'), { message: /something else wrote to its channel/, workerDied: true })
    t.match(await failure('half_line'), { message: /something else wrote to its channel/, workerDied: true })
    // The worker's own heartbeat may fall into the line, and end it.
    t.match(await failure('endless_line'), { message: /more than 1048576 bytes in one line|something else wrote to its channel/, workerDied: true })
    t.equal((await run('plain', 'you')).text, 'Hello you')
  })

  t.test('a hundred megabytes of output are refused without taking the service\'s memory', async t => {
    const before = process.memoryUsage().rss
    t.match(await failure('hundred_megabytes'), { message: 'It said more than 8000000 characters.', workerDied: false })
    t.match(await failure('endless'), { message: 'It said more than 8000000 characters.', workerDied: false })
    t.ok(process.memoryUsage().rss - before < 100e6)
    t.equal((await run('plain', 'you')).text, 'Hello you')
  })

  t.test('memory has its limit', async t => {
    t.equal((await run('memory', '100')).text, `${100 * 1024 * 1024}`)
    t.match(await failure('memory', '600'), { message: 'MemoryError: it needs more than PYTHON_MEMORY_MB (512) allows.' })
    t.match(await failure('memory_in_pieces'), { message: /^MemoryError|^The Python worker/ })
    t.equal((await run('plain', 'you')).text, 'Hello you')
  })

  t.test('a worker that dies is told of in words', async t => {
    t.match(await failure('dies'), { message: 'The Python worker ended by itself, with code 3.', workerDied: true })
    t.match(await failure('killed'), { message: 'The Python worker was ended by SIGKILL.', workerDied: true })
    const { pool, run: runAlone } = create(t, { workers: 1 })
    const killed = runAlone('sleeps', '', { onText: () => process.kill(pool.pids[0]!, 'SIGKILL') })
    await t.rejects(killed, { message: 'The Python worker was ended with its guard.', workerDied: true })
    t.equal((await run('plain', 'you')).text, 'Hello you')
  })

  t.test('a worker cannot end its guard or the service where the kernel forbids it', async t => {
    const { signals } = (await pool.probeConfinement())!
    const { message } = await failure('kills_its_guard')
    t.equal(message, signals ? 'PermissionError: [Errno 1] Operation not permitted' : 'The Python worker was ended with its guard.')
  })

  t.test('a worker that gives no sign of life is ended', async t => {
    const { pool, run } = create(t, { silenceMs: 2_000 })
    const texts: string[] = []
    await t.rejects(run('hangs', '', { onText: text => texts.push(text) }),
      { message: 'The Python worker gave no sign of life for 2 s.', workerDied: true })
    t.same(texts, ['before '])
    await pool.close()
    t.same(pool.pids, [])
  })

  t.test('one that is busy for longer than that is not', async t => {
    const { run } = create(t, { silenceMs: 2_000 })
    const abort = new AbortController()
    const working = run('loops', '', { signal: abort.signal })
    setTimeout(() => abort.abort(new Error('long enough')), 3_500)
    await t.rejects(working, { message: 'long enough' })
  })

  t.test('see nothing of the service', async t => {
    process.env.A_SECRET_OF_THE_SERVICE = 'not to be seen'
    const environment = JSON.parse((await run('environment')).text)
    // The test runner adds its own to every process that its tests start.
    const names = Object.keys(environment).filter(name => !name.startsWith('_TAPJS_') && name !== 'NODE_OPTIONS')
    t.same(names.sort(), ['HOME', 'LANG', 'PATH', 'PYTHONPATH', 'PYTHONUNBUFFERED'])
    t.match(environment.HOME, /jeesi-python-/)
    const own = (await run('other_environment', 'self')).text
    t.match(own, /PYTHONPATH=/)
    const { text } = await run('other_environment', `${process.pid}`)
    if (text !== 'PermissionError') t.comment('LEFT OUT: the kernel of this machine does not confine processes (Landlock)')
    else t.equal((await run('other_environment', `${pool.pids[0]}`)).text, 'PermissionError', 'nor of their guards')
    t.equal((await run('moves_files')).text, 'moved', 'and are not confined in anything else')
  })

  t.test('wait for each other in turn by user', async t => {
    const { pool } = create(t, { workers: 1 })
    const order: string[] = []
    const enter = (user: string, prompt: string) => pool.run(user, {
      entrypoint: 'agents:plain',
      input: { prompt },
      signal: new AbortController().signal,
      maxOutput: 1000,
      onText: () => order.push(prompt),
      onProgress () {}
    })
    await Promise.all([enter('a', 'a1'), enter('a', 'a2'), enter('a', 'a3'), enter('b', 'b1')])
    t.same(order, ['a1', 'a2', 'b1', 'a3'])
    t.equal(pool.pids.length, 1)
  })

  t.test('cancel', async t => {
    /** Cancels an agent as soon as it is heard of; the promise is of what the caller hears. */
    const cancel = async (t: Test, name: string, prompt = '', at: 'onText' | 'onProgress' = 'onText') => {
      const { pool, run } = create(t, { workers: 1 })
      const abort = new AbortController()
      const texts: string[] = []
      let cancelledAt = 0
      const hear = () => {
        cancelledAt ||= Date.now()
        abort.abort(new Error('cancelled'))
      }
      await t.rejects(run(name, prompt, {
        signal: abort.signal,
        onText: text => {
          texts.push(text)
          if (at === 'onText') hear()
        },
        ...(at === 'onProgress' ? { onProgress: hear } : {})
      }), { message: 'cancelled' })
      t.ok(Date.now() - cancelledAt < 1_000, 'is heard at once')
      const [guard] = pool.pids
      return { pool, run, texts, guard: guard! }
    }

    t.test('lets those who look at the flag end tidily, and their worker live', async t => {
      const folder = await createFolder(t)
      const { run, pool, guard } = await cancel(t, 'tidy', folder, 'onProgress')
      t.equal((await run('plain', 'next')).text, 'Hello next')
      t.ok(existsSync(join(folder, 'tidied')))
      t.same(pool.pids, [guard])
    })

    t.test('breaks off what sleeps or loops, and its worker lives', async t => {
      for (const name of ['loops', 'sleeps', 'endless_generator']) {
        const { run, pool, guard } = await cancel(t, name)
        t.equal((await run('plain', 'next')).text, 'Hello next')
        t.same(pool.pids, [guard], name)
      }
    })

    t.test('is heard of by what catches it, and its worker lives', async t => {
      for (const name of ['catches', 'awaits']) {
        const folder = await createFolder(t)
        const { run, pool, guard } = await cancel(t, name, folder, 'onProgress')
        t.equal((await run('plain', 'next')).text, 'Hello next')
        t.ok(existsSync(join(folder, 'caught')), name)
        t.same(pool.pids, [guard], name)
      }
    })

    t.test('ends the group of one that will not, whoever ignores SIGTERM or has left the group', async t => {
      const { run, texts, guard } = await cancel(t, 'stubborn')
      const pids = texts.join('').split(/\s+/).filter(Boolean).map(Number)
      t.equal(pids.length, 3)
      t.ok(pids.every(isAlive))
      t.equal((await run('plain', 'next')).text, 'Hello next')
      await allGone([...pids, guard])
    })

    t.test('takes a job that waits out of the line', async t => {
      const { run } = create(t, { workers: 1 })
      const first = new AbortController()
      const second = new AbortController()
      const started = new Promise<void>(resolve => {
        t.rejects(run('tidy', '/nonexistent', { signal: first.signal, onText: () => resolve() }))
      })
      await started
      const waiting = run('plain', '', { signal: second.signal })
      second.abort(new Error('enough'))
      await t.rejects(waiting, { message: 'enough' })
      first.abort(new Error('enough'))
      t.equal((await run('plain', 'next')).text, 'Hello next')
    })
  })

  t.test('end at the close, whatever they do', async t => {
    const { pool, run } = create(t)
    const pids: number[] = []
    const said = new Promise<void>(resolve => {
      const ending = run('stubborn', '', {
        onText: text => {
          pids.push(...text.trim().split(' ').map(Number))
          resolve()
        }
      })
      t.rejects(ending, { message: /^The Python worker was ended by SIG/ })
    })
    await said
    pids.push(...pool.pids)
    await pool.close()
    await allGone(pids)
    await t.rejects(run('plain'), { code: 'shutting_down' })
  })
})

t.test('without a Python that will do', async t => {
  const folder = await createFolder(t)
  const write = (name: string, script: string) => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    return join(folder, name)
  }
  const cases: Array<[string, RegExp]> = [
    [join(folder, 'missing'), /^there is no /],
    [write('old', 'echo /usr/bin/python; echo 3.8'), /is Python 3\.8, but 3\.9 or newer is needed$/],
    [write('other', 'echo hello'), /is not a working Python$/],
    [write('failing', 'exit 1'), /is not a working Python$/],
    [folder, /is not a working Python$/]
  ]
  for (const [command, reason] of cases) {
    const pool = new PythonPool({ command, memoryMb: 512, maxProcesses: 64, workers: 1, log: pino({ level: 'silent' }) })
    t.match(await pool.detected, { reason }, command)
    t.equal(await pool.isAvailable(), false)
    const job = { entrypoint: 'a:b', input: {}, signal: new AbortController().signal, maxOutput: 1, onText () {}, onProgress () {} }
    await t.rejects(pool.run('user', job), { code: 'python_unavailable' })
  }
})

/** Whether a SIGTERM waits to be heard by a process. */
function isToldToEnd (pid: number): boolean {
  const [, pending = '0'] = /^ShdPnd:\s*([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return (BigInt(`0x${pending}`) >> 14n & 1n) === 1n
}
