import t from 'tap'
import type { StepRecord } from '#shared/database/runs.ts'
import type { ToolCall } from '#shared/messages.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { AgentContext } from '../../../src/executor/agent/agent-context.js'
import { RunFigures } from '../../../src/executor/agent/run-figures.js'
import { StepLog } from '../../../src/executor/agent/step-record.js'
import { callTools } from '../../../src/executor/agent/tool-step.js'
import { MAX_RESULT_CHARACTERS } from '#shared/functions/result-text.ts'
import { type Tool, ToolError } from '../../../src/executor/tools/tool.js'

/** Calls each of these tools once; returns the records of the step, and the results as readers receive them. */
async function callEach (tools: Tool[]) {
  const { signal } = new AbortController()
  const stored: StepRecord[] = []
  const emitted: RunEvent[] = []
  const context = {
    signal,
    tool: { runId: 'a-run', agentId: 'an-agent', userId: 'a-user', signal },
    emit: (event: RunEvent) => emitted.push(event),
    async record (_number: number, _summary: object, record: StepRecord) {
      stored.push(record)
      return { reserved: 0, isEnough: true }
    },
    log () {},
    figures: new RunFigures()
  } as unknown as AgentContext
  const calls: ToolCall[] = tools.map(({ name }) => ({ id: `call-${name}`, type: 'function', function: { name, arguments: '{}' } }))
  const records = await callTools(calls, tools, new StepLog(), context, () => 0)
  return { records, stored, results: emitted.filter(event => event.type === 'tool_result') }
}

const tool = (name: string, call: Tool['call']): Tool => ({ name, description: name, parameters: { type: 'object' }, call })

t.test('a model receives so much of a result or an error and no more, whatever tool it is from', async t => {
  const long = 'x'.repeat(MAX_RESULT_CHARACTERS)
  const cut = `${long}\n[… 5 more characters were left off]`
  const { records, stored, results } = await callEach([
    tool('whole', async () => long),
    tool('long', async () => `${long}12345`),
    tool('failing', async () => { throw new ToolError(`${long}12345`) }),
    tool('split', async () => `${'x'.repeat(MAX_RESULT_CHARACTERS - 1)}😀`)
  ])
  t.match(records, [{ result: long }, { result: cut }, { error: cut }, { result: /x\ufffd\n\[… 1 more characters were left off\]$/ }])
  t.same(stored, records)
  t.same(results.map(({ type, ...result }) => result), records.map(({ kind, ...record }) => record), 'readers receive what is stored')
})

t.test('a hundred tools that listen to one signal are no leak to Node', async t => {
  const warnings: Error[] = []
  const note = (warning: Error) => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const { results } = await callEach(Array.from({ length: 100 }, (_, n) => tool(`t${n}`, async (_args, { signal }) => {
    signal.addEventListener('abort', () => {})
    await new Promise(setImmediate)
    return 'ok'
  })))
  t.equal(results.length, 100)
  t.same(warnings, [])
})

t.test('what the database cannot store is replaced before readers receive it', async t => {
  const { stored, results } = await callEach([tool('odd', async () => 'a\0b\ud800'), tool('failing', async () => { throw new ToolError('\0') })])
  t.match(stored, [{ result: 'a\ufffdb\ufffd' }, { error: '\ufffd' }])
  t.match(results, [{ result: 'a\ufffdb\ufffd' }, { error: '\ufffd' }])
})
