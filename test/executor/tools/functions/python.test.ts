import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import t from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import { PythonPool } from '../../../../src/executor/python/pool.js'
import { pythonTool } from '../../../../src/executor/tools/functions/python.js'
import { ToolError } from '../../../../src/executor/tools/tool.js'
import { findPython } from '../../../support/python.js'

t.test('a function in Python as a tool', async t => {
  const command = await findPython(t)
  if (!command) return
  const pool = new PythonPool({ command, memoryMb: 512, maxProcesses: 64, workers: 1, log: pino({ level: 'silent' }) })
  t.teardown(() => pool.close())
  const create = (config: AgentFunction['config'], fields: Partial<AgentFunction> = {}) =>
    pythonTool({ name: 'add numbers', type: 'python', triggerKeywords: [], config, ...fields }, pool)
  const call = (config: AgentFunction['config'], args = {}, signal = new AbortController().signal) =>
    create(config).call(args, { runId: randomUUID(), agentId: randomUUID(), userId: randomUUID(), signal })
  const failure = (entrypoint: unknown, args = {}, timeout_seconds?: number) => call({ entrypoint, timeout_seconds }, args).then(
    () => { throw new Error('it did not fail') },
    (error: unknown) => {
      t.ok(error instanceof ToolError)
      return (error as Error).message
    })

  t.test('is described as models want it', async t => {
    const parameters = { type: 'object', properties: { a: { type: 'number' } } }
    t.match(create({ entrypoint: 'agents:add', parameters }, { description: 'Adds.' }), { name: 'add_numbers', description: 'Adds.', parameters })
    t.match(create({ entrypoint: 'agents:add' }), { description: 'Calls add numbers.', parameters: { type: 'object' } })
    t.match(create({ parameters: JSON.stringify(parameters) }).parameters, parameters, 'its parameters may be JSON')
    t.match(create({ parameters: 'nonsense' }).parameters, { type: 'object' })
  })

  t.test('is called with the arguments, and answers in text or JSON', async t => {
    t.equal(await call({ entrypoint: 'agents:add' }, { a: 1, b: 2 }), '{"sum": 3}')
    t.equal(await call({ entrypoint: 'agents:plain' }, { prompt: 'you' }), 'Hello you')
    t.equal(await call({ entrypoint: 'agents:generator' }), '0 1 2 3 4 end')
    t.equal(await call({ entrypoint: 'agents:nothing' }), '')
  })

  t.test('tells in words what went wrong', async t => {
    t.equal(await failure('agents:add'), 'KeyError: \'a\'')
    t.equal(await failure('agents:missing'), 'The Python module agents has no function missing.')
    t.match(await failure('os.system'), /must be package\.module:function/)
    t.equal(await failure(undefined), 'The function has no entrypoint.')
    t.equal(await failure('agents:slow_tool', {}, 0.2), 'It did not end within 0.2 s.')
    t.equal(await failure('agents:hundred_megabytes'), 'It said more than 1048576 characters.')
    t.equal(await failure('agents:killed'), 'The Python worker was ended by SIGKILL.')
    t.equal(await call({ entrypoint: 'agents:add' }, { a: 1, b: 2 }), '{"sum": 3}', 'and the next call finds a worker')
  })

  t.test('rejects with the run\'s own reason when that is cancelled', async t => {
    const reason = new Error('cancelled')
    await t.rejects(call({ entrypoint: 'agents:slow_tool' }, {}, AbortSignal.abort(reason)), reason)
  })
})

t.test('without Python says so', async t => {
  const pool = new PythonPool({ command: '/nonexistent', memoryMb: 512, maxProcesses: 64, workers: 1, log: pino({ level: 'silent' }) })
  const tool = pythonTool({ name: 'add', type: 'python', triggerKeywords: [], config: { entrypoint: 'a:b' } }, pool)
  const context = { runId: '', agentId: '', userId: '', signal: new AbortController().signal }
  const error = await tool.call({}, context).catch((error: unknown) => error)
  t.ok(error instanceof ToolError)
  t.equal((error as Error).message, 'This server cannot run Python.')
})
