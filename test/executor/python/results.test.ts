import { Writable } from 'node:stream'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { PythonError } from '../../../src/executor/python/job.js'
import { PythonPool } from '../../../src/executor/python/pool.js'
import { findPython } from '../../support/python.js'

/** A pool of one worker; `run` gives back what an entrypoint says, or the sentence in which it fails. */
function open (t: Test, command: string) {
  const logs: Array<Record<string, unknown>> = []
  const log = pino({ level: 'debug' }, new Writable({ write (line, _encoding, done) { logs.push(JSON.parse(String(line))); done() } }))
  const pool = new PythonPool({ command, searchPath: process.env.PATH, memoryMb: 512, maxProcesses: 64, workers: 1, log })
  t.teardown(() => pool.close())
  const run = async (entrypoint: string, prompt = ''): Promise<string> => {
    let text = ''
    try {
      await pool.run('user', {
        runId: 'a-run', entrypoint, input: { prompt }, signal: new AbortController().signal, maxOutput: 1_000_000, onText: piece => { text += piece }, onProgress () {}
      })
    } catch (error) {
      if (error instanceof PythonError) return error.message
      throw error
    }
    return text
  }
  return { pool, logs, run }
}

t.test('results of Python', async t => {
  const command = await findPython(t)
  if (!command) return
  const { pool, logs, run } = open(t, command)

  t.test('become JSON, whatever type of Python\'s or of its libraries they have', async t => {
    const expected: Record<string, unknown> = {
      scalar: 3,
      array: [[1.5, 2], [true, null]],
      table: [{ a: 1, b: null }],
      float: [0.5, 'c0000000-0000-4000-8000-000000000001'],
      time: ['2026-03-29T08:30:00+00:00', '2026-03-29', '08:30:00', 90],
      set: [[1, 2, 3], []],
      bytes: ['/wA=', 'YQ=='],
      dataclass: { x: 1, when: '2026-03-29' },
      others: ['red', '/tmp/x', [1, 'c0000000-0000-4000-8000-000000000001'], [1], [1], [0, 1, 2]],
      iterator: ['1', '2'],
      nested: { all: [0, 1, 2], zip: [['a', 1], ['b', 2]] },
      keys: { 1: 'a', 'c0000000-0000-4000-8000-000000000001': 'b', '2026-03-29': 'c', null: 'd', 2: 'e' }
    }
    for (const [name, value] of Object.entries(expected)) t.same(JSON.parse(await run('results:returned', name)), value, name)
    t.equal(await run('results:returned', 'decimal'), '[1.5, 12345678901234567890, 1000, -0.1]')
    t.equal(await run('results:returned', 'uuid'), '"c0000000-0000-4000-8000-000000000001"')
    t.equal(await run('results:yielded'), '1 2.5["c0000000-0000-4000-8000-000000000001"]')
  })

  t.test('fail in a sentence if they have no JSON, or no end, and the worker goes on', async t => {
    const [pid] = pool.pids
    for (const [name, sentence] of Object.entries({
      endless: 'It returned more than 1,000,000 values.',
      large: 'It returned more than 1,000,000 values.',
      itself: 'It returned a value that is nested deeper than 100 levels.',
      function: 'It returned a value of the type function, which has no JSON.',
      tuple_key: 'It returned an object with a key that is no string, number or date.'
    })) t.equal(await run('results:returned', name), sentence)
    for (const name of ['nan', 'huge']) t.match(await run('results:returned', name), /^(ValueError: Out of range float|OverflowError)/)
    t.same(pool.pids, [pid])
  })

  t.test('an exception is in the log by type, file, line, function and run, and its words are not', async t => {
    logs.length = 0
    t.equal(await run('agents:quotes', 'a secret'), 'KeyError: \'a secret\'')
    const [line, ...more] = logs.filter(({ level }) => level === 40)
    t.match(line, { msg: '[PYTHON] failed', runId: 'a-run', entrypoint: 'agents:quotes', exception: 'KeyError', file: 'agents.py', function: 'look_up' })
    t.type(line!.line, 'number')
    t.same(more, [])
    t.notMatch(JSON.stringify(line), /secret/)
    t.match(logs.filter(({ level }) => level === 20).map(({ msg, text, traceback }) => ({ msg, text, traceback })),
      [{ msg: '[PYTHON] traceback', text: 'KeyError: \'a secret\'', traceback: /look_up/ }])
    logs.length = 0
    await run('broken:run')
    t.match(logs.filter(({ level }) => level === 40), [{ entrypoint: 'broken:run', file: 'broken.py' }], 'nor of one that cannot be imported')
  })
})

t.test('what one run has changed the next finds as it was', async t => {
  const command = await findPython(t)
  if (!command) return
  const { pool, logs, run } = open(t, command)
  const before = await run('untidy:tidy')
  t.match(JSON.parse(before), { folder: true, stdout: 'TextIOWrapper', stdin: '' })
  const [pid] = pool.pids
  for (const name of ['moves', 'closes', 'redirects']) {
    await run(`untidy:${name}`)
    logs.length = 0
    t.equal(await run('untidy:tidy'), before, name)
    await until(() => ['printed', 'to stderr'].every(text => logs.some(line => String(line.text).includes(text))))
    t.same(pool.pids, [pid], 'in the same worker')
  }
  await run('untidy:removes')
  t.equal(await run('untidy:tidy'), before, 'in another one, if it cannot be mended')
})

/** What is printed arrives by a pipe of its own. */
async function until (isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise(resolve => setImmediate(resolve))
}
