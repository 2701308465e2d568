import { randomUUID } from 'node:crypto'
import t from 'tap'
import { RunSpans } from '#shared/traces/run-spans.ts'
import type { Span } from '#shared/traces/span.ts'
import { DEMO_AGENT } from '../support/helper.js'

const CALL = { id: 'c1', type: 'function' as const, function: { name: 'look_up', arguments: '{}' } }

function open ({ hasContent = false, attempt = 1 } = {}) {
  const sent: Span[][] = []
  const run = { runId: randomUUID(), agentId: DEMO_AGENT, attempt }
  const spans = new RunSpans({ add: (_traceId, spans) => { sent.push([...spans]) } }, { traceId: 'a'.repeat(32), hasContent }, { run })
  const settled = {
    ...run, status: 'succeeded', response: '', finishReason: 'stop', usage: null, model: null, error: null, creditsCharged: 3, createdAt: new Date().toISOString(), startedAt: null, finishedAt: new Date().toISOString()
  } as never
  return { spans, sent, end: () => { spans.end(settled, { model: null }) } }
}

t.test('nothing is sent before the run is settled, and then once and all', async t => {
  const { spans, sent, end } = open()
  const step = spans.openStep('tool')
  step.openTool(CALL, true).end({ result: 'yes' })
  step.end({ number: 1 })
  t.same(sent, [])
  end()
  t.same(sent.map(spans => spans.map(({ name }) => name)), [['invoke_agent', 'attempt 1', 'step 1', 'execute_tool look_up']])
})

t.test('a run of very many steps has a bounded number of spans, and says how many it lacks', async t => {
  const { spans, sent, end } = open()
  for (let number = 1; number <= 2000; number++) {
    const step = spans.openStep('tool')
    step.openTool(CALL, true).end({ result: 'yes' })
    step.end({ number })
  }
  end()
  t.equal(sent[0]!.length, 1002)
  t.match(sent[0]![0]!.attributes, { 'jeesi.spans.dropped': 3000, 'jeesi.credits': 3 })
})

t.test('a step has a bounded number of calls', async t => {
  const { spans, sent, end } = open()
  const step = spans.openStep('model', 0)
  for (let tries = 0; tries < 500; tries++) step.openChat({ model: 'a/b', temperature: 0, maxTokens: 1, messages: [] }).end({})
  end()
  t.equal(sent[0]!.length, 2 + 1 + 64)
  t.equal(step.end().spans.length, 65)
})

t.test('texts of a run are bounded, and are not recorded with its steps', async t => {
  const { spans, sent, end } = open({ hasContent: true })
  for (let number = 1; number <= 100; number++) {
    const step = spans.openStep('tool')
    step.openTool({ ...CALL, function: { name: 'look_up', arguments: 'x'.repeat(30_000) } }, true).end({ result: 'y'.repeat(30_000) })
    t.notOk(JSON.stringify(step.end({ number })).includes('xxx'))
  }
  end()
  const characters = JSON.stringify(sent).length
  t.ok(characters > 200_000 && characters < 400_000, String(characters))
})

t.test('what another release has recorded is taken as it is, or left out', async t => {
  const { spans, sent, end } = open({ attempt: 2 })
  for (const recorded of [undefined, {}, { attempt: {} }, { spans: 7 }, { attempt: { id: 'a', number: 1, start: 1 }, spans: 'x' }]) spans.keepRecorded(recorded as never)
  end()
  t.same(sent[0]!.map(({ name }) => name), ['invoke_agent', 'attempt 2'])
})

t.test('names that are rather texts are left out', async t => {
  const { spans, sent, end } = open()
  const step = spans.openStep('model', 0)
  step.openChat({ model: 'a model of mine, with words', temperature: 0, maxTokens: 1, messages: [] }).end({ model: 'x'.repeat(200), finishReason: 'because I say so' })
  step.openTool({ ...CALL, function: { name: 'made up', arguments: '' } }, false).end({ error: 'no' })
  end()
  t.match(sent[0]!.slice(3).map(({ name, attributes, error }) => [name, attributes['gen_ai.response.model'], attributes['gen_ai.response.finish_reasons'], error]), [
    ['chat', undefined, ['other'], undefined], ['execute_tool', undefined, undefined, 'unknown_tool']
  ])
})
