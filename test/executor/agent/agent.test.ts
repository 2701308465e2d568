import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { StepRecord, StoredStep } from '#shared/database/runs.ts'
import type { Rates } from '#shared/price.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { toStoredValue } from '#shared/text.ts'
import { responseOf } from '#shared/trace.ts'
import type { AgentInput } from '../../../src/executor/agent/agent-context.js'
import { runAgent } from '../../../src/executor/agent/agent.js'
import { Progress } from '../../../src/executor/agent/progress.js'
import { RunFigures } from '../../../src/executor/agent/run-figures.js'
import { Gateway } from '../../../src/executor/gateway/gateway.js'
import { type Tool, ToolError } from '../../../src/executor/tools/tool.js'
import { EMPTY_TOOLBOX, type Toolbox } from '../../../src/executor/tools/toolbox.js'
import { delta, ending, frame, inTurn, openStream, refuse, type Reply, say, startGateway, USAGE } from '../../support/doubles/gateway.js'
import { textOf } from '../../support/helper.js'

const MAX_ANSWER = 8 * 1024 * 1024
const AT_ONCE = { 'retry-after': '0' }

/** Runs an agent against these replies, and collects its events. */
async function setUp (t: Test, ...replies: Reply[]) {
  const double = await startGateway(t, inTurn(...replies))
  const gateway = new Gateway({ url: double.url, model: 'default/model', modelIsChosen: true, maxAnswer: MAX_ANSWER })
  t.teardown(() => gateway.close())
  const stop = new AbortController()
  const events: Array<RunEvent & { seq: number }> = [{ seq: 1, type: 'started', runId: 'a-run', agentId: 'an-agent', attempt: 1 }]
  const entriesAfter = (after: number) => events.slice(after).map(event => ({ seq: event.seq, event }))
  const progress = new Progress({ textAfter: (_runId, after = 0) => responseOf(entriesAfter(after)) }, 'a-run')
  const pauses: number[] = []
  const records: Array<{ number: number, record: StepRecord, credits: number }> = []
  const lines: Array<Record<string, unknown>> = []
  const world = {
    records,
    lines,
    /** The agent's functions. */
    toolbox: EMPTY_TOOLBOX as Toolbox,
    rates: undefined as Rates | undefined,
    /** Called with each record. */
    onRecord: (_record: StepRecord) => {},
    /** The user's credits. */
    balance: Infinity,
    double,
    progress,
    stop,
    events,
    pauses,
    /** Called with each event. */
    onEvent: () => {},
    /** Called before each pause. */
    onRetry: () => {},
    /** Resolves with the error of the run, if any. */
    run: (agent = {}, fallbackModels: string[] = [], more: Partial<AgentInput> = {}): Promise<any> => runAgent({ agent, messages: [{ role: 'user', content: 'Hi' }], ...more }, progress, {
      gateway,
      number: 1,
      rates: world.rates,
      figures: new RunFigures(),
      tool: { runId: 'a-run', agentId: 'an-agent', userId: 'a-user', signal: stop.signal },
      openToolbox: async () => world.toolbox,
      async record (number, _summary, record, credits = 0) {
        world.onRecord(record)
        records.push({ number, record, credits })
        return { reserved: Math.min(credits, world.balance), isEnough: credits <= world.balance }
      },
      defaultModel: 'default/model',
      fallbackModels,
      signal: stop.signal,
      wait: ms => delay(ms, undefined, { signal: stop.signal }),
      emit (event) {
        const seq = events.push({ seq: events.length + 1, ...event })
        world.onEvent()
        return seq
      },
      log (message, fields, level = 'info') {
        lines.push({ level, message, ...fields })
        if (message !== 'retried') return
        pauses.push(fields.delayMs as number)
        world.onRetry()
      }
    }).then(() => undefined, error => error)
  }
  return world
}

/** Sends these pieces and ends the response early. */
function breakAfter (...pieces: string[]): Reply {
  return response => { openStream(response).end(pieces.map(delta).join('')) }
}

const hangUp: Reply = (response: ServerResponse) => { response.socket!.destroy() }

t.test('an agent\'s settings are in the request, and its answer is in the progress', async t => {
  const { double, run, progress, events } = await setUp(t, say('Hello'))
  t.equal(await run({ model: 'a/model', temperature: 0, maxTokens: 5, systemPrompt: 'Be brief.' }), undefined)
  t.match(double.calls[0]!.body, { model: 'a/model', temperature: 0, max_tokens: 5 })
  t.strictSame(double.calls[0]!.body.messages, [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hi' }])
  const { bill, model, finishReason, usage, hasOutput, response } = progress
  t.equal(bill.credits, 1)
  t.strictSame({ model, finishReason, usage, hasOutput, response }, {
    response: 'Hello',
    model: 'test/model',
    finishReason: 'stop',
    usage: { promptTokens: USAGE.prompt_tokens, completionTokens: USAGE.completion_tokens, totalTokens: USAGE.total_tokens, estimated: false },
    hasOutput: true
  })
  t.strictSame(events.slice(1), [{ seq: 2, type: 'chunk', content: 'Hello' }])
  await run()
  t.match(double.calls[1]!.body, { model: 'default/model', temperature: 0.7, max_tokens: 1000 }, 'defaults replace missing settings')
})

t.test('retries before the first token emit retry events and no rewind', async t => {
  const { double, run, progress, events, pauses } = await setUp(t, refuse(429, 'slow down', AT_ONCE), hangUp, say('Hello'))
  t.equal(await run(), undefined)
  t.equal(double.calls.length, 3)
  t.strictSame(events.slice(1), [
    { seq: 2, type: 'retry', code: 'gateway_rate_limited', delayMs: pauses[0] },
    { seq: 3, type: 'retry', code: 'gateway_unavailable', delayMs: pauses[1] },
    { seq: 4, type: 'chunk', content: 'Hello' }
  ])
  t.match(progress, { response: 'Hello', usage: { totalTokens: USAGE.total_tokens, estimated: false } }, 'tries without output have no usage')
  t.ok(pauses[0]! >= 250 && pauses[0]! <= 500 && pauses[1]! >= 500 && pauses[1]! <= 1000, `pauses of ${pauses} ms`)
})

t.test('a retry after the first token rewinds the output of the failed try', async t => {
  const { run, progress, events, pauses } = await setUp(t, breakAfter('Hel'), say('Hello'))
  t.equal(await run(), undefined)
  t.strictSame(events.slice(1), [
    { seq: 2, type: 'chunk', content: 'Hel' },
    { seq: 3, type: 'rewind', to: 1 },
    { seq: 4, type: 'retry', code: 'gateway_unavailable', delayMs: pauses[0] },
    { seq: 5, type: 'chunk', content: 'Hello' }
  ])
  t.equal(progress.response, 'Hello')
  t.equal(textOf(events), 'Hello')
})

t.test('a rewind goes back to before the first event of a try, including reasoning', async t => {
  const { run, progress, events } = await setUp(t, response => {
    openStream(response).write(frame({ choices: [{ index: 0, delta: { reasoning: 'Hm' } }] }))
    setImmediate(() => response.end(delta('Hel')))
  }, say('Hello'))
  t.equal(await run(), undefined)
  t.match(events.slice(1), [{ type: 'reasoning', content: 'Hm' }, { type: 'chunk' }, { type: 'rewind', to: 1 }, { type: 'retry' }, { type: 'chunk' }])
  t.equal(progress.response, 'Hello')
})

t.test('each rewind covers only its own try', async t => {
  const { run, events } = await setUp(t, breakAfter('Hel'), refuse(503, 'busy', AT_ONCE), breakAfter('Hell'), say('Hello'))
  t.equal(await run(), undefined)
  t.strictSame(events.slice(1).map(event => 'to' in event ? event.to : event.type), ['chunk', 1, 'retry', 'retry', 'chunk', 5, 'retry', 'chunk'])
  t.equal(textOf(events), 'Hello')
})

t.test('the usage of all tries is added, and is estimated if one of them broke off', async t => {
  const { run, progress } = await setUp(t, breakAfter('12345678'), say('Hello'))
  t.equal(await run({ systemPrompt: 'x'.repeat(40) }), undefined)
  // 40 + 2 characters of the prompt and 8 of the answer, at 4 per token, plus the reported usage of the second try.
  const [promptTokens, completionTokens] = [10 + 1 + USAGE.prompt_tokens, 2 + USAGE.completion_tokens]
  t.strictSame(progress.usage, { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, estimated: true })
})

t.test('after four tries the run fails with the error of the last one, and keeps its text', async t => {
  t.intercept(Math, 'random', { value: () => 0 })
  const { double, run, progress, events, pauses } = await setUp(t, hangUp, breakAfter('Hel'), hangUp, breakAfter('Hell'))
  t.match(await run(), { code: 'gateway_unavailable' })
  t.equal(double.calls.length, 4)
  t.strictSame(pauses, [250, 500, 1000], 'each pause is twice the previous one')
  t.strictSame(events.slice(1).map(({ type }) => type), ['retry', 'chunk', 'rewind', 'retry', 'retry', 'chunk'])
  t.match(progress, { response: 'Hell', hasOutput: true, finishReason: null })
  t.equal(textOf(events), 'Hell')
})

t.test('an error that is not retryable is not retried', async t => {
  for (const [status, code] of [[402, 'gateway_payment_required'], [401, 'gateway_unauthorized'], [400, 'gateway_rejected']] as const) {
    const { double, run, events, progress } = await setUp(t, refuse(status), say('Hello'))
    t.match(await run(), { code })
    t.equal(double.calls.length, 1)
    t.equal(events.length, 1, 'no event is emitted')
    t.match(progress, { response: '', hasOutput: false, usage: { totalTokens: 0 } })
  }
  const { double, run, events } = await setUp(t, response => {
    openStream(response).end(delta('Hel') + frame({ error: { message: 'empty', code: 402 } }) + ending())
  })
  t.match(await run(), { code: 'gateway_payment_required' }, 'nor within a stream')
  t.equal(double.calls.length, 1)
  t.equal(textOf(events), 'Hel')
})

t.test('a model that keeps failing is replaced by the next fallback model, and the retry events name it', async t => {
  const { double, run, events, progress } = await setUp(t, breakAfter('Hel'), refuse(400), refuse(404), say('Hello'))
  t.equal(await run({ model: 'a/model' }, ['b/model', 'c/model']), undefined)
  t.strictSame(double.calls.map(({ body }) => body.model), ['a/model', 'a/model', 'b/model', 'c/model'])
  t.match(events.slice(1), [
    { type: 'chunk', content: 'Hel' },
    { type: 'rewind', to: 1 },
    { type: 'retry', code: 'gateway_unavailable' },
    { type: 'retry', code: 'gateway_rejected', model: 'b/model', delayMs: 0 },
    { type: 'retry', code: 'gateway_rejected', model: 'c/model', delayMs: 0 },
    { type: 'chunk', content: 'Hello' }
  ])
  t.equal(progress.response, 'Hello')
})

t.test('an empty account and an invalid key lead to no fallback model', async t => {
  for (const status of [401, 402]) {
    const { double, run } = await setUp(t, refuse(status), say('Hello'))
    t.match(await run({}, ['b/model']), { code: status === 401 ? 'gateway_unauthorized' : 'gateway_payment_required' })
    t.equal(double.calls.length, 1)
  }
})

t.test('a retry-after header determines the pause, unless it exceeds 20 s', async t => {
  const patient = await setUp(t, refuse(429, 'slow down', { 'retry-after': '20' }))
  patient.onRetry = () => patient.stop.abort()
  t.match(await patient.run(), { name: 'AbortError' })
  t.strictSame(patient.pauses, [20_000])

  const hasty = await setUp(t, refuse(429, 'slow down', { 'retry-after': '21' }))
  t.match(await hasty.run(), { code: 'gateway_rate_limited', retryAfter: 21 })
  t.strictSame(hasty.pauses, [])
  t.equal(hasty.double.calls.length, 1)
})

t.test('aborting ends a pause at once, after the rewind', async t => {
  const world = await setUp(t, breakAfter('Hel'), refuse(503, 'busy', { 'retry-after': '19' }))
  const startedAt = performance.now()
  world.onRetry = () => { if (world.pauses.length === 2) setImmediate(() => world.stop.abort()) }
  t.match(await world.run(), { name: 'AbortError' })
  t.ok(performance.now() - startedAt < 10_000, 'long before the end of the pause')
  t.equal(world.double.calls.length, 2)
  t.strictSame(world.events.slice(1).map(({ type }) => type), ['chunk', 'rewind', 'retry', 'retry'])
  t.match(world.progress, { hasOutput: true, usage: { estimated: true } }, 'the usage is kept')
  t.equal(world.progress.response, '')
})

t.test('aborting while the model streams throws the signal\'s reason, and keeps text and usage', async t => {
  const world = await setUp(t, response => { openStream(response).write(delta('Hell')) })
  const reason = new Error('enough')
  world.onEvent = () => world.stop.abort(reason)
  t.equal(await world.run(), reason)
  t.match(world.progress, { response: 'Hell', hasOutput: true, finishReason: null, usage: { completionTokens: 1, estimated: true } })
  t.strictSame(world.pauses, [])
})

// --- Steps and tools ---

/** A turn that calls these tools, perhaps after some text. */
function ask (calls: Array<[id: string, name: string, args: string]>, words = ''): Reply {
  return response => {
    const pieces = calls.flatMap(([id, name, args], index) => [
      { index, id, type: 'function', function: { name, arguments: args.slice(0, 3) } },
      { index, function: { arguments: args.slice(3) } }
    ])
    openStream(response).end((words && delta(words)) +
      pieces.map(piece => frame({ choices: [{ index: 0, delta: { tool_calls: [piece] } }] })).join('') + ending('tool_calls'))
  }
}

/** A tool that records its calls. */
function makeTool (name: string, call: Tool['call']) {
  const tool = {
    name,
    description: `Does ${name}.`,
    parameters: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] },
    calls: [] as unknown[],
    async call (args: Record<string, unknown>, context: Parameters<Tool['call']>[1]) {
      tool.calls.push(args)
      return call(args, context)
    }
  }
  return tool
}

function boxOf (tools: Tool[], more: Partial<Toolbox> = {}): Toolbox {
  return { ...EMPTY_TOOLBOX, tools, ...more }
}

const twice = () => makeTool('twice', async ({ n }) => `${2 * (n as number)}`)
const typesOf = (world: { events: RunEvent[] }) => world.events.map(({ type }) => type)

t.test('the tool calls of a turn are executed concurrently, and the model continues with their results', async t => {
  const world = await setUp(t, ask([['c1', 'twice', '{"n": 2}'], ['c2', 'twice', '{"n": 3}']], 'Let me see. '), say('4 and 6'))
  let waiting = 0
  const both = new Promise<void>(resolve => {
    world.toolbox = boxOf([makeTool('twice', async ({ n }) => {
      if (++waiting === 2) resolve()
      await both
      return `${2 * (n as number)}`
    })])
  })
  t.equal(await world.run(), undefined)
  t.equal(world.progress.response, 'Let me see. 4 and 6')
  t.equal(textOf(world.events), 'Let me see. 4 and 6')
  t.same(typesOf(world).toSorted(), ['chunk', 'chunk', 'started', 'step', 'step', 'tool_call', 'tool_call', 'tool_result', 'tool_result'])
  t.match(world.events.filter(({ type }) => type === 'tool_call'), [{ id: 'c1', name: 'twice', arguments: { n: 2 } }, { id: 'c2' }])
  t.same(world.events.filter(({ type }) => type === 'tool_result').map(({ seq, ...event }) => event),
    [{ type: 'tool_result', id: 'c1', name: 'twice', result: '4' }, { type: 'tool_result', id: 'c2', name: 'twice', result: '6' }])
  const [first, second] = world.double.calls.map(({ body }) => body)
  t.match(first.tools, [{ type: 'function', function: { name: 'twice', description: 'Does twice.', parameters: { required: ['n'] } } }])
  t.match(second.messages.slice(-3), [
    { role: 'assistant', content: 'Let me see. ', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'twice', arguments: '{"n": 2}' } }, { id: 'c2' }] },
    { role: 'tool', tool_call_id: 'c1', content: '4' },
    { role: 'tool', tool_call_id: 'c2', content: '6' }
  ])
  t.same(world.progress.usage, { promptTokens: 20, completionTokens: 10, totalTokens: 30, estimated: false }, 'of all steps')
  t.equal(world.progress.finishReason, 'stop')
  t.same(world.records.map(({ number, record }) => [number, record.kind]).toSorted(), [[1, 'model'], [2, 'tool'], [3, 'tool']])
})

t.test('a tool\'s failure is reported to the model and does not end the run', async t => {
  const failures: Array<[string, string, string, RegExp]> = [
    ['nothing', 'twice', '{"n": 1}', /nothing there/],
    ['broken', 'broken', '{"n": 1}', /^The tool failed unexpectedly\.$/],
    ['unknown', 'thrice', '{"n": 1}', /^There is no tool thrice\. There are: twice, broken\.$/],
    ['misfit', 'twice', '{"n": "one"}', /n/],
    ['no JSON', 'twice', '{"n": ', /JSON/],
    ['no object', 'twice', '[1]', /object/]
  ]
  for (const [what, name, args, problem] of failures) {
    const world = await setUp(t, ask([['c1', name, args]]), say('Never mind'))
    const tools = [
      makeTool('twice', async () => { throw new ToolError('There is nothing there.') }),
      makeTool('broken', async () => { throw new TypeError('secret detail') })
    ]
    world.toolbox = boxOf(tools)
    t.equal(await world.run(), undefined, what)
    t.equal(world.progress.response, 'Never mind')
    t.match(world.events.find(({ type }) => type === 'tool_result'), { id: 'c1', name, error: problem }, what)
    const { content } = world.double.calls[1]!.body.messages.at(-1)
    t.match(content, /^Error: /)
    t.match(content.slice('Error: '.length), problem, what)
    if (!['nothing', 'broken'].includes(what)) t.same(tools.flatMap(({ calls }) => calls), [], 'no tool is called')
  }
})

t.test('in the last step the model is forbidden to call tools', async t => {
  const world = await setUp(t, ask([['c1', 'twice', '{"n": 1}']]), ask([['c2', 'twice', '{"n": 2}']]))
  const tool = twice()
  world.toolbox = boxOf([tool])
  t.equal(await world.run({ maxSteps: 2 }), undefined)
  t.equal(world.double.calls.length, 2)
  t.match(world.double.calls[1]!.body, { tools: [{}], tool_choice: 'none' }, 'the tools are still described')
  t.notOk(world.double.calls[0]!.body.tool_choice)
  t.same(tool.calls, [{ n: 1 }], 'a call in spite of that is not executed')
})

t.test('recorded steps of an earlier attempt are replayed and not executed again', async t => {
  const first = await setUp(t, ask([['c1', 'twice', '{"n": 1}'], ['c2', 'stop', '{"n": 2}']], 'Well, '))
  const stopped = makeTool('stop', async () => {
    first.stop.abort(new Error('killed'))
    throw new Error('killed')
  })
  first.toolbox = boxOf([twice(), stopped])
  t.match(await first.run(), { message: 'killed' })
  const steps = first.records.sort((a, b) => a.number - b.number).map(({ number, record }) => ({ ...record, step: number }))
  t.same(steps.map(({ kind }) => kind), ['model', 'tool'])

  const second = await setUp(t, say('done'))
  const [again, finished] = [twice(), makeTool('stop', async () => 'stopped')]
  second.toolbox = boxOf([again, finished])
  t.equal(await second.run({}, [], { steps }), undefined)
  t.same(again.calls, [], 'this call was recorded')
  t.same(finished.calls, [{ n: 2 }], 'this one was interrupted')
  t.equal(second.double.calls.length, 1, 'the recorded turn is not requested again')
  t.match(second.double.calls[0]!.body.messages.slice(-3), [{ role: 'assistant', content: 'Well, ' }, { content: '2' }, { content: 'stopped' }])
  t.equal(second.progress.response, 'Well, done')
  t.equal(textOf(second.events), 'Well, done')
  t.same(second.progress.usage, { promptTokens: 20, completionTokens: 10, totalTokens: 30, estimated: false }, 'of all attempts')
  t.same(second.records.map(({ number, record }) => [number, record.kind]), [[1, 'model'], [3, 'tool']], 'the turn again, to check the balance, and the new step')
})

t.test('a turn whose first tries failed costs the same after a takeover', async t => {
  const RATES = { 'a/model': { perRun: 5, perThousandTokens: 1000 }, 'default/model': { perRun: 1, perThousandTokens: 100 }, '*': { perRun: 2, perThousandTokens: 10 } }
  const first = await setUp(t, breakAfter('Hel', 'lo'), breakAfter('Hel', 'lo'), breakAfter('Hello'), breakAfter('Hel'), ask([['c1', 'twice', '{"n": 1}']]), say('done'))
  first.toolbox = boxOf([twice()])
  first.rates = RATES
  t.equal(await first.run({ model: 'a/model' }, ['b/model']), undefined)
  t.equal(first.double.calls.length, 6)
  const steps = first.records.map(({ number, record }) => toStoredValue({ ...record, step: number })) as StoredStep[]
  t.match(steps[0], { kind: 'model', askedFor: 'b/model', failed: Array(4).fill({ askedFor: 'a/model', hasOutput: true, usage: { estimated: true } }) })

  const second = await setUp(t, say('done'))
  second.toolbox = boxOf([twice()])
  second.rates = RATES
  t.equal(await second.run({ model: 'a/model' }, ['b/model'], { steps }), undefined)
  t.equal(second.double.calls.length, 1)
  t.same(second.progress.usage, first.progress.usage)
  t.equal(second.progress.bill.credits, first.progress.bill.credits)
})

t.test('triggered functions run once, before the model, and their results are in its prompt', async t => {
  const world = await setUp(t, say('It is sunny'))
  const results = [{ functionName: 'weather', functionType: 'api_call', success: true, data: 'sunny' }]
  const seen: unknown[] = []
  world.toolbox = boxOf([], {
    async runTriggered (text) {
      seen.push(text)
      return { results, emitted: [{ type: 'tool_call', id: 'f1', name: 'weather', arguments: {} }, { type: 'tool_result', id: 'f1', name: 'weather', result: 'sunny' }] }
    },
    async afterAnswer (text, response) { seen.push([text, response]) }
  })
  t.equal(await world.run(), undefined)
  t.match(world.double.calls[0]!.body.messages[0].content, /<function_result name="weather" type="api_call">\nsunny\n</)
  t.same(seen, ['Hi', ['Hi', 'It is sunny']], 'afterAnswer receives the response')
  t.same(typesOf(world), ['started', 'tool_call', 'tool_result', 'chunk'])

  const again = await setUp(t, say('It is sunny'))
  again.toolbox = boxOf([], { runTriggered: async () => { throw new Error('not again') } })
  t.equal(await again.run({}, [], { steps: world.records.map(({ number, record }) => ({ ...record, step: number })) }), undefined)
  t.match(again.double.calls[0]!.body.messages[0].content, /sunny/)
  t.same(typesOf(again), typesOf(world))
})

t.test('the answer of a function replaces the model\'s, and costs the price of a run', async t => {
  const world = await setUp(t, say('not asked'))
  world.toolbox = boxOf([], { runTriggered: async () => ({ results: [], answer: 'We open at nine.', emitted: [] }) })
  t.equal(await world.run(), undefined)
  t.equal(world.double.calls.length, 0)
  t.match(world.progress, { response: 'We open at nine.', finishReason: 'stop', hasOutput: true })
  t.equal(world.progress.bill.credits, 1)
})

t.test('a run whose balance does not cover the next step fails after the current one, and keeps its text', async t => {
  const world = await setUp(t, ask([['c1', 'twice', '{"n": 1}']], 'So far '), say('never'))
  const tool = twice()
  world.toolbox = boxOf([tool])
  world.rates = { 'default/model': { perRun: 1, perThousandTokens: 100 } }
  world.balance = 100
  t.match(await world.run({ maxTokens: 1000 }), { code: 'insufficient_credits', statusCode: 402 })
  t.same(tool.calls, [])
  t.equal(world.progress.response, 'So far ')
  t.equal(world.progress.bill.credits, 3, 'a run and 15 tokens')
  t.same(world.records.map(({ credits }) => credits), [106], 'the maximum cost after the next step: its prompt, which has the call, and its answer')
})

t.test('each step is reserved for with the prompt that it will have, results of tools and functions included', async t => {
  const world = await setUp(t, ask([['c1', 'long', '{"n": 1}'], ['c2', 'long', '{"n": 2}']]), say('Done'))
  world.toolbox = boxOf([makeTool('long', async () => 'x'.repeat(8000))], {
    runTriggered: async () => ({ results: [{ functionName: 'f', functionType: 'api_call', success: true, data: 'x'.repeat(4000) }], emitted: [] })
  })
  world.rates = { 'default/model': { perRun: 0, perThousandTokens: 1000 } }
  t.equal(await world.run({ maxTokens: 1000 }), undefined)
  const [functions, turn, first, second] = world.records.map(({ credits }) => credits) as [number, number, number, number]
  t.ok(functions > 2000 && functions < 2100, `a thousand tokens of the result and of the answer: ${functions}`)
  t.ok(turn > functions && turn < functions + 100, `and the turn's own tokens and calls: ${turn}`)
  t.equal(first - turn, 2000, 'the first result')
  t.equal(second - first, 2000, 'and the second')
})

t.test('a run whose balance does not cover the results of its tools fails before the model is asked again', async t => {
  const world = await setUp(t, ask([['c1', 'long', '{"n": 1}']]), say('never'))
  world.toolbox = boxOf([makeTool('long', async () => 'x'.repeat(8000))])
  world.rates = { 'default/model': { perRun: 0, perThousandTokens: 1000 } }
  world.balance = 3000
  t.match(await world.run({ maxTokens: 1000 }), { code: 'insufficient_credits', statusCode: 402 })
  t.equal(world.double.calls.length, 1)
})

t.test('a run that is stopped after its request was sent is billed the prompt, and not the price of a run', async t => {
  const world = await setUp(t, response => { openStream(response).write(': waiting\n\n') })
  world.rates = { 'default/model': { perRun: 5, perThousandTokens: 1000 } }
  const called = world.double.nextCall()
  const running = world.run({ systemPrompt: 'x'.repeat(400) })
  await called
  world.stop.abort(new Error('enough'))
  t.match(await running, { message: 'enough' })
  t.equal(world.progress.bill.credits, 101)
  t.match(world.progress, { hasOutput: false, usage: { promptTokens: 101, completionTokens: 0, estimated: true } })
})

t.test('a cached answer is emitted without a model request, and costs nothing', async t => {
  const world = await setUp(t, say('not asked'))
  t.equal(await world.run({}, [], { cached: { response: 'As before', finishReason: 'stop', model: 'a/model' } }), undefined)
  t.equal(world.double.calls.length, 0)
  t.match(world.progress, { response: 'As before', finishReason: 'stop', model: 'a/model', usage: { totalTokens: 0 } })
  t.equal(world.progress.bill.credits, 0)
  t.same(typesOf(world), ['started', 'chunk'])
})

t.test('a response format is passed to the gateway unchanged', async t => {
  const world = await setUp(t, say('{}'))
  const responseFormat = { type: 'json_schema' as const, json_schema: { name: 'x', schema: { type: 'object' } } }
  await world.run({}, [], { responseFormat })
  t.same(world.double.calls[0]!.body.response_format, responseFormat)
})

t.test('calls with the same id in several turns are replayed and executed separately', async t => {
  const first = await setUp(t, ask([['call_0', 'twice', '{"n": 1}']]), ask([['call_0', 'twice', '{"n": 2}']]))
  let calls = 0
  first.toolbox = boxOf([makeTool('twice', async ({ n }) => {
    if (++calls === 2) first.stop.abort(new Error('killed'))
    first.stop.signal.throwIfAborted()
    return `${2 * (n as number)}`
  })])
  t.match(await first.run(), { message: 'killed' })
  const second = await setUp(t, say('done'))
  const tool = twice()
  second.toolbox = boxOf([tool])
  t.equal(await second.run({}, [], { steps: first.records.map(({ number, record }) => ({ ...record, step: number })) }), undefined)
  t.same(tool.calls, [{ n: 2 }])
  t.same(second.double.calls[0]!.body.messages.filter(({ role }: { role: string }) => role === 'tool').map(({ content }: { content: string }) => content), ['2', '4'])
})

t.test('malformed tool calls are sent back in a form that gateways accept', async t => {
  const world = await setUp(t, ask([['c1', 'no such!', '{"q": "cut o'], ['c1', '', '']]), say('Well'))
  world.toolbox = boxOf([twice()])
  t.equal(await world.run(), undefined)
  const [assistant, ...answers] = world.double.calls[1]!.body.messages.slice(-3)
  t.match(assistant.tool_calls, [{ id: 'c1', function: { name: 'no_such_', arguments: '{}' } }, { id: /^call_/, function: { name: 'tool', arguments: '{}' } }])
  t.same(answers.map(({ tool_call_id: id }: { tool_call_id: string }) => id), assistant.tool_calls.map(({ id }: { id: string }) => id))
  t.match(answers, [{ content: /There is no tool/ }, { content: /There is no tool/ }])
})

t.test('arguments that are nested too deeply reach no tool, and are emitted as text', async t => {
  const deep = '{"n": '.repeat(6000) + '1' + '}'.repeat(6000)
  const world = await setUp(t, ask([['c1', 'twice', deep]]), say('Well'))
  const tool = twice()
  world.toolbox = boxOf([tool])
  t.equal(await world.run(), undefined)
  t.same(tool.calls, [])
  t.match(world.events.find(({ type }) => type === 'tool_call'), { arguments: deep })
})

t.test('if one of several calls cannot be recorded, the others are aborted, and no result is emitted', async t => {
  const world = await setUp(t, ask([['c1', 'slow', '{"n": 1}'], ['c2', 'quick', '{"n": 1}']]))
  let stopped = 0
  world.toolbox = boxOf([
    makeTool('slow', (_args, { signal }) => new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => { stopped++; reject(signal.reason) })
    })),
    makeTool('quick', async () => 'done')
  ])
  world.onRecord = record => { if (record.kind === 'tool') throw new Error('no database') }
  t.match(await world.run(), { message: 'no database' })
  t.equal(stopped, 1)
  t.same(typesOf(world).filter(type => type === 'tool_result'), [])
})

t.test('an endless answer is ended at the maximum length', async t => {
  const world = await setUp(t, response => {
    openStream(response)
    const piece = delta('x'.repeat(1024 * 1024))
    for (let n = 0; n < 10; n++) response.write(piece)
  })
  t.match(await world.run(), { code: 'gateway_answer_too_long', isRetryable: false })
  t.ok(world.progress.response.length <= MAX_ANSWER)
})

t.test('an answer without text that the model has worked for is a failure, and asked for once more', async t => {
  const nothing = (finishReason: string, usage: object = USAGE): Reply => response => {
    openStream(response).end(frame({ choices: [{ index: 0, delta: {}, finish_reason: finishReason }] }) + frame({ choices: [], usage }))
  }
  t.intercept(Math, 'random', { value: () => 0 })
  const empty = await setUp(t, nothing('stop'))
  t.match(await empty.run(), { code: 'gateway_empty_answer', isRetryable: true })
  t.equal(empty.double.calls.length, 2)
  t.match(empty.progress, { hasOutput: false, hasAnswer: true, finishReason: 'stop', usage: { totalTokens: 2 * USAGE.total_tokens, estimated: false } }, 'both were worked for')
  t.match([empty.progress.bill.credits, empty.events.map(({ type }) => type)], [0, ['started', 'retry']], 'without the price of a run')

  const second = await setUp(t, nothing('stop'), say('Hello'))
  t.equal(await second.run(), undefined)
  t.equal(second.progress.response, 'Hello')

  const cut = await setUp(t, nothing('length'))
  t.match(await cut.run(), { code: 'gateway_answer_too_long', reason: /before the answer began/ })
  const withheld = await setUp(t, nothing('SAFETY', { ...USAGE, completion_tokens: 0 }))
  t.match(await withheld.run(), { code: 'gateway_rejected', reason: /withheld/ })
  t.equal(cut.double.calls.length + withheld.double.calls.length, 2, 'the same request would come to the same')

  const thoughts = await setUp(t, response => { openStream(response).end(frame({ choices: [{ index: 0, delta: { reasoning: 'Hm' }, finish_reason: 'stop' }] })) })
  t.match(await thoughts.run(), { code: 'gateway_empty_answer' })
  const silent = await setUp(t, nothing('stop', { ...USAGE, completion_tokens: 0 }))
  t.equal(await silent.run(), undefined, 'to say nothing is an answer')
})

t.test('an empty turn after the model has spoken and called tools ends the run', async t => {
  const world = await setUp(t, ask([['c1', 'twice', '{"n": 2}']], 'I noted it.'), response => { openStream(response).end(ending()) })
  world.toolbox = boxOf([twice()])
  t.equal(await world.run(), undefined)
  t.equal(world.progress.response, 'I noted it.')
})

t.test('of more calls than a turn may have the first are made, and the model is told of the others, after a takeover too', async t => {
  const calls = Array.from({ length: 130 }, (_, n): [string, string, string] => [`c${n}`, 'twice', `{"n": ${n}}`])
  const world = await setUp(t, ask(calls), say('Done'))
  const tool = twice()
  world.toolbox = boxOf([tool])
  t.equal(await world.run(), undefined)
  t.equal(tool.calls.length, 128)
  const told = (double: typeof world.double, call: number) => double.calls[call]!.body.messages.slice(-2).map(({ content }: { content: string }) => content)
  t.match(told(world.double, 1), ['252', /^254\n\n\[Only the first 128 calls of this turn were made\. Make the others again\.\]$/])
  const second = await setUp(t, say('done'))
  second.toolbox = boxOf([twice()])
  t.equal(await second.run({}, [], { steps: world.records.map(({ number, record }) => ({ ...record, step: number })) }), undefined)
  t.match(told(second.double, 0), ['252', /Only the first 128/])
})

t.test('a name that a provider has changed calls the tool that is meant, and goes back under its own name', async t => {
  const world = await setUp(t, ask([['c1', 'functions.twice', '{"n": 2}']]), say('4'))
  const tool = twice()
  world.toolbox = boxOf([tool])
  t.equal(await world.run(), undefined)
  t.same(tool.calls, [{ n: 2 }])
  t.match(world.events.find(({ type }) => type === 'tool_call'), { name: 'twice' })
  t.match(world.double.calls[1]!.body.messages.at(-2).tool_calls, [{ function: { name: 'twice', arguments: '{"n": 2}' } }])
})

t.test('half a list of tool calls is not carried out', async t => {
  t.intercept(Math, 'random', { value: () => 0 })
  const piece = { index: 0, id: 'c1', function: { name: 'twice', arguments: '{"n": 2}' } }
  const world = await setUp(t, response => {
    openStream(response).write(frame({ choices: [{ index: 0, delta: { tool_calls: [piece] }, finish_reason: '' }] }), () => response.socket!.destroy())
  }, say('Hello'))
  const tool = twice()
  world.toolbox = boxOf([tool])
  t.equal(await world.run(), undefined)
  t.same(tool.calls, [])
  t.equal(world.progress.response, 'Hello')
})

t.test('fields within the function of a call go back, as all its fields do', async t => {
  const piece = { index: 0, id: 'c1', function: { name: 'twice', arguments: '{"n": 2}', thought_signature: 'x' }, extra_content: { google: { thought_signature: 'y' } } }
  const world = await setUp(t, response => { openStream(response).end(frame({ choices: [{ index: 0, delta: { tool_calls: [piece] }, finish_reason: 'tool_calls' }] })) }, say('4'))
  world.toolbox = boxOf([twice()])
  t.equal(await world.run(), undefined)
  const { index, ...call } = piece
  t.same(world.double.calls[1]!.body.messages.at(-2).tool_calls, [{ ...call, type: 'function' }])
})

t.test('a late error and a broken connection after the end are not asked about again', async t => {
  const world = await setUp(t, response => {
    openStream(response).write(delta('Hello') + frame({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) + frame({ error: { message: 'late' } }), () => response.socket!.destroy())
  })
  t.equal(await world.run(), undefined)
  t.equal(world.double.calls.length, 1)
  t.match(world.progress, { response: 'Hello', finishReason: 'stop' })
})

/** A turn that calls `twice`, with what its model wants back, and fields that are the gateway's own. */
const thinking: Reply = response => {
  const call = { index: 0, id: 'c1', function: { name: 'twice', arguments: '{"n": 2}', thought_signature: 'x', parsed: {} }, extra_content: { google: { thought_signature: 'y' } }, padding: 1 }
  openStream(response).end(
    frame({ choices: [{ index: 0, delta: { reasoning_content: 'Twice ' } }] }) + frame({ choices: [{ index: 0, delta: { reasoning_content: 'two.', padding: 'x' } }] }) +
    frame({ choices: [{ index: 0, delta: { reasoning_details: [{ type: 'reasoning.encrypted', data: 'abc', index: 0 }] } }] }) +
    frame({ choices: [{ index: 0, delta: { tool_calls: [call] }, finish_reason: 'tool_calls' }] }))
}
const SENT_CALL = { id: 'c1', type: 'function', function: { name: 'twice', arguments: '{"n": 2}', thought_signature: 'x' }, extra_content: { google: { thought_signature: 'y' } } }
const SENT_TURN = { role: 'assistant', content: null, reasoning_content: 'Twice two.', reasoning_details: [{ type: 'reasoning.encrypted', data: 'abc', index: 0 }], tool_calls: [SENT_CALL] }

t.test('what a model wants back with the results of its calls goes back to it, and nothing that is the gateway\'s own', async t => {
  const world = await setUp(t, thinking, say('4'))
  world.toolbox = boxOf([twice()])
  t.equal(await world.run(), undefined)
  const { messages } = world.double.calls[1]!.body
  t.strictSame(messages.at(-2), SENT_TURN)
  t.strictSame(messages.at(-1), { role: 'tool', tool_call_id: 'c1', content: '4' })
})

t.test('an attempt that goes on after a recorded turn sends what the attempt before would have sent, byte by byte', async t => {
  const first = await setUp(t, thinking, say('4'))
  first.toolbox = boxOf([twice()])
  t.equal(await first.run(), undefined)
  // As the database keeps it: names in the order of jsonb.
  const steps = first.records.map(({ number, record }) => toStoredValue({ ...record, step: number })) as StoredStep[]
  t.match(steps[0], { extra: { reasoning_content: 'Twice two.' } })
  const second = await setUp(t, say('4'))
  second.toolbox = boxOf([twice()])
  t.equal(await second.run({}, [], { steps }), undefined)
  t.equal(JSON.stringify(second.double.calls[0]!.body), JSON.stringify(first.double.calls[1]!.body))
})

t.test('another model than the one that wants it is not sent it', async t => {
  const world = await setUp(t, thinking, refuse(400, 'no'), say('4'))
  world.toolbox = boxOf([twice()])
  t.equal(await world.run({}, ['other/model']), undefined)
  t.same(world.double.calls.map(({ body }) => body.model), ['default/model', 'default/model', 'other/model'])
  t.strictSame(world.double.calls[1]!.body.messages.at(-2), SENT_TURN)
  t.strictSame(world.double.calls[2]!.body.messages.at(-2), {
    role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'twice', arguments: '{"n": 2}' } }]
  })
})

t.test('each failure of the gateway is a line with its status, reason, cause and model, and an entry of the run', async t => {
  const world = await setUp(t, refuse(503, 'overloaded', AT_ONCE), hangUp, refuse(401, 'no such key'), say('never'))
  t.match(await world.run({ model: 'a/model' }), { code: 'gateway_unauthorized' })
  t.match(world.lines.filter(({ message }) => message === 'the gateway failed'), [
    { level: 'warn', code: 'gateway_unavailable', status: 503, reason: 'the AI gateway answered 503: overloaded', model: 'a/model' },
    { level: 'warn', code: 'gateway_unavailable', status: undefined, reason: String, model: 'a/model' },
    { level: 'error', code: 'gateway_unauthorized', status: 401, reason: 'the AI gateway answered 401: no such key', model: 'a/model' }
  ])
  t.match(world.progress.failures, [{ attempt: 1, at: String, status: 503 }, {}, { code: 'gateway_unauthorized' }])
})
