import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { delta, frame, openStream } from '../support/doubles/gateway.js'
import { findDeno, loadFunction, SIMPLE_AGENT, startWorld } from '../support/edge.js'
import { DEMO_USER } from '../support/helper.js'
import { ANSWERS } from '../support/gateway-answers.js'

/** It has no tools, so a call is no answer. */
const answers = Object.entries(ANSWERS).filter(([, { calls }]) => !calls)

t.test('the ways of gateways come to the same however the network cuts their bytes', async t => {
  const { AnswerReader } = await loadFunction('gateway/answer-reader.ts')
  const { readData } = await loadFunction('streams/sse-data.ts')
  async function * arrive (stream: string, positions: number[], breaks = false) {
    const bytes = Buffer.from(stream)
    const cuts = [0, ...positions.map(position => position % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
    for (const [index, cut] of cuts.slice(1).entries()) yield new Uint8Array(bytes.subarray(cuts[index], cut))
    if (breaks) throw new TypeError('error reading a body from connection')
  }
  for (const [name, { stream, breaks, text = '', reasoning = '', finishReason, error }] of answers) {
    await fc.assert(fc.asyncProperty(fc.array(fc.nat(), { maxLength: 30 }), async positions => {
      const said = { text: '', reasoning: '' }
      const reader = new AnswerReader('m', { text: (more: string) => { said.text += more }, reasoning: (more: string) => { said.reasoning += more } })
      let thrown: any
      try {
        for await (const data of readData(arrive(stream, positions, breaks))) reader.take(data)
      } catch (error) {
        thrown = error
      }
      reader.flush({ last: true })
      assert.deepEqual(said, { text, reasoning }, name)
      if (error) assert.ok(thrown?.code === error || !reader.hasEnded, name)
      else assert.deepEqual([thrown?.code, reader.hasEnded, reader.end.finishReason], [undefined, true, finishReason], name)
    }), { numRuns: 20 })
    t.pass(name)
  }
})

t.test('the edge function knows the ways of gateways', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { project, edge, gateway } = await startWorld(t, deno)
  for (const [name, { stream, breaks, text = '', finishReason, usage, error }] of answers) {
    t.test(name, async t => {
      gateway.reply = response => {
        openStream(response)
        if (breaks) response.write(stream, () => response.socket!.destroy())
        else response.end(stream)
      }
      const told = await edge.execute()
      t.equal(told.text, text)
      if (error) t.match(told.events.at(-1), { type: 'error', code: error })
      else t.match(told.events.at(-1), { type: 'done', response: text, finishReason })
      if (usage && !error) t.match(told.events.at(-1), { usage: { promptTokens: usage[0], completionTokens: usage[1], totalTokens: usage[2] } })
    })
  }

  t.test('[DONE] ends an answer whose response stays open', async t => {
    gateway.reply = response => { openStream(response).write(delta('Hello') + 'data: [DONE]\n\n') }
    t.match((await edge.execute()).events.at(-1), { type: 'done', response: 'Hello' })
  })

  t.test('in one piece, too', async t => {
    const ask = () => edge.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } })
    const { stream } = ANSWERS['an object error is a failure']!
    gateway.reply = response => { openStream(response).end(stream) }
    t.match(await ask(), { status: 422, body: { code: 'gateway_rejected' } })
    gateway.reply = response => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ choices: [{ message: { content: 'Hi', refusal: null }, finish_reason: 'end_turn' }] })) }
    t.match(await ask(), { status: 200, body: { response: 'Hi', finishReason: 'stop' } })
  })

  t.test('an answer without text that the model has worked for is a failure, and charged its tokens once', async t => {
    await project.query("insert into public.model_rates values ('*', 5, 1000) on conflict (model) do update set credits_per_run = 5, credits_per_1k_tokens = 1000", [])
    await project.query('update public.credit_balances set credits_remaining = 100000 where user_id = $1', [DEMO_USER])
    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
    for (const [reason, code] of [['stop', 'gateway_empty_answer'], ['length', 'gateway_answer_too_long'], ['content_filter', 'gateway_rejected']] as const) {
      const before = gateway.calls.length
      gateway.reply = response => { openStream(response).end(frame({ choices: [{ index: 0, delta: {}, finish_reason: reason }], usage })) }
      const told = await edge.execute()
      t.match(told.events.at(-1), { type: 'error', code })
      t.match(await project.endOf(told.headers.get('x-run-id')!), { status: 'failed', finishReason: reason, creditsCharged: 15 })
      t.equal(gateway.calls.length, before + 1)
    }
    gateway.reply = response => { openStream(response).end(delta('') + frame({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })) }
    t.match((await edge.execute()).events.at(-1), { type: 'done', response: '' })
  })
})
