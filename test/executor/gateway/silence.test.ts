import { setTimeout as delay } from 'node:timers/promises'
import type { ServerResponse } from 'node:http'
import t, { type Test } from 'tap'
import { Gateway } from '../../../src/executor/gateway/gateway.js'
import { Cancellation } from '../../../src/lib/cancellation.js'
import { delta, ending, frame, openStream, startGateway } from '../../support/doubles/gateway.js'

const SILENCE = 300
const PIECE = 50

/** One completion of a gateway that answers so, and what was said until it ended. */
async function complete (t: Test, reply: (response: ServerResponse) => unknown): Promise<{ text: string, outcome: unknown }> {
  const double = await startGateway(t, async response => { await reply(response) })
  const gateway = new Gateway({ url: double.url, model: 'm', modelIsChosen: true, silenceTimeout: SILENCE })
  t.teardown(() => gateway.close())
  let text = ''
  const sink = { text: (more: string) => { text += more }, reasoning: (more: string) => { text += more } }
  const request = { messages: [{ role: 'user' as const, content: 'Hi' }], temperature: 0, maxTokens: 1 }
  return gateway.complete(request, sink, new Cancellation()).then(outcome => ({ text, outcome }), outcome => ({ text, outcome }))
}

/** Writes a piece every 50 ms, so many times or until the other side has gone. */
async function drip (response: ServerResponse, piece: (number: number) => string, times = Infinity): Promise<void> {
  for (let number = 0; number < times && !response.destroyed; number++) {
    response.write(piece(number))
    await delay(PIECE)
  }
}

t.test('a gateway that sends no part of an answer is given up, whatever it sends to keep the connection', async t => {
  const nothings: Record<string, string> = {
    comments: ': PROCESSING\n\n',
    'empty deltas': delta(''),
    'roles and nothing else': frame({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }),
    'usage of nothing': frame({ choices: [], usage: { prompt_tokens: 1, completion_tokens: 0, total_tokens: 1 } }),
    'calls of nothing': frame({ choices: [{ index: 0, delta: { tool_calls: [] } }] })
  }
  for (const [what, piece] of Object.entries(nothings)) {
    const { text, outcome } = await complete(t, response => drip(openStream(response).on('error', () => {}), number => number === 0 ? delta('Hello') : piece))
    t.match({ text, outcome }, { text: 'Hello', outcome: { code: 'gateway_timeout', statusCode: 504 } }, what)
  }
  const json = await complete(t, response => drip(response.writeHead(200, { 'content-type': 'application/json' }), () => ' '))
  t.match(json.outcome, { code: 'gateway_timeout' }, 'white space before a document')
})

t.test('what belongs to an answer is waited for, however slowly it comes', async t => {
  const parts: Record<string, (number: number) => string> = {
    text: number => delta(`${number} `),
    reasoning: number => frame({ choices: [{ index: 0, delta: { reasoning: `${number} ` } }] }),
    calls: index => frame({ choices: [{ index: 0, delta: { tool_calls: [{ index, id: `c${index}`, function: { name: 'f', arguments: '' } }] } }] }),
    arguments: () => frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { name: '', arguments: ' ' } }] } }] })
  }
  for (const [what, piece] of Object.entries(parts)) {
    const { outcome } = await complete(t, async response => {
      await drip(openStream(response), number => `: PROCESSING\n\n${piece(number)}`, 2 * SILENCE / PIECE)
      response.end(ending())
    })
    t.match(outcome, { finishReason: 'stop' }, what)
  }
})
