import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { PythonWorker } from '../../../src/executor/python/worker.js'
import { findPython } from '../../support/python.js'

/** Set for the process that this test starts, which has few descriptors. */
const IS_SCARCE = 'TEST_SCARCE_DESCRIPTORS'

if (process.env[IS_SCARCE]) {
  await startWithoutDescriptors(process.env[IS_SCARCE])
} else {
  t.test('a worker that cannot be started for want of descriptors fails its job, and not the process', async t => {
    const python = await findPython(t)
    if (!python) return
    const command = ['ulimit -n 512', `exec ${[process.execPath, ...process.execArgv, process.argv[1]!].map(part => `'${part}'`).join(' ')}`].join('; ')
    const child = spawn('sh', ['-c', command], { env: { ...process.env, [IS_SCARCE]: python }, stdio: ['ignore', 'pipe', 'pipe'] })
    const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    t.match({ code, out }, { code: 0, out: /could not be started \(EMFILE\)/ }, err)
  })
}

/** Uses up the descriptors of this process, starts a worker, and says what becomes of its job. */
async function startWithoutDescriptors (path: string): Promise<never> {
  // What is loaded at the first use needs one.
  await text(spawn(path, ['-c', 'pass'], { stdio: ['ignore', 'pipe', 'ignore'] }).stdout)
  try {
    for (;;) openSync('/dev/null', 'r')
  } catch {}
  const worker = new PythonWorker({ path, env: {}, memoryMb: 512, maxProcesses: 4, silenceMs: 10_000, reloads: false, log: { debug () {}, warn () {} } })
  const { result } = worker.run({ entrypoint: 'a:b', input: {}, signal: new AbortController().signal, onMessage () {} } as unknown as Parameters<typeof worker.run>[0])
  const failure = await result.then(() => 'it ran', error => String(error.message))
  await worker.exited
  process.stdout.write(failure, () => process.exit(0))
  return new Promise(() => {})
}
