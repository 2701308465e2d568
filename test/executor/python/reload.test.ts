import { readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { PythonPool } from '../../../src/executor/python/pool.js'
import { createDataDir, startService } from '../../support/helper.js'
import { createAgents, createFolder, findPython } from '../../support/python.js'

/** Creates a package `written` of a user's own, of two modules. @returns what writes one of them. */
async function createModules (t: Test, python: string) {
  const folder = await createFolder(t)
  const lib = join(dirname(dirname(python)), 'lib')
  const [version] = (await readdir(lib)).filter(name => name.startsWith('python'))
  await writeFile(join(lib, version!, 'site-packages', 'written.pth'), `${folder}\n`)
  const write = (name: string, text: string) => writeFile(join(folder, `${name}.py`), text)
  await write('answer', 'from words import word\n\n\ndef run(input):\n    return f"{word()} 1"\n')
  await write('words', 'def word():\n    return "one"\n')
  return write
}

t.test('a module that has changed is used by the next run, and so is one that it imports', async t => {
  const PYTHON_BIN = await findPython(t)
  if (!PYTHON_BIN) return
  const write = await createModules(t, PYTHON_BIN)
  const DATA_DIR = await createDataDir(t)
  const ids = await createAgents(DATA_DIR, ['answer:run', 'later:run'])
  const service = await startService(t, { DATA_DIR, PYTHON_BIN, PYTHON_WORKERS: '1' })
  const ask = async (entrypoint: string) => {
    const { text, events } = await service.execute({ agentId: ids[entrypoint] })
    return text || events.at(-1)
  }
  t.equal(await ask('answer:run'), 'one 1')
  const pids = service.app.python.pids
  await write('words', 'def word():\n    return "two"\n')
  t.equal(await ask('answer:run'), 'two 1', 'of the same length, and within the same second')
  await write('answer', 'from words import word\n\n\ndef run(input)\n')
  t.match(await ask('answer:run'), { code: 'python_failed', error: /cannot be imported: SyntaxError/ })
  await write('answer', 'from words import word\n\n\ndef run(input):\n    return f"{word()} 2"\n')
  t.equal(await ask('answer:run'), 'two 2')
  t.match(await ask('later:run'), { code: 'python_failed', error: 'There is no Python module later.' })
  await write('later', 'def run(input):\n    return "here"\n')
  t.equal(await ask('later:run'), 'here')
  t.same(service.app.python.pids, pids, 'the worker is the same')
})

t.test('in production a worker goes on with the modules that it has', async t => {
  const command = await findPython(t)
  if (!command) return
  const write = await createModules(t, command)
  const pool = new PythonPool({ command, searchPath: process.env.PATH, memoryMb: 512, maxProcesses: 64, workers: 1, log: pino({ level: 'silent' }) })
  t.teardown(() => pool.close())
  const run = async () => {
    let text = ''
    await pool.run('user', { entrypoint: 'answer:run', input: {}, signal: new AbortController().signal, maxOutput: 1_000, onText: piece => { text += piece }, onProgress () {} })
    return text
  }
  t.equal(await run(), 'one 1')
  await write('words', 'def word():\n    return "two"\n')
  t.equal(await run(), 'one 1')
})
