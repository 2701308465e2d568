import t from 'tap'
import { delta, ending, frame, openStream, type Reply } from '../support/doubles/gateway.js'
import { ANSWERS } from '../support/gateway-answers.js'
import { BACKEND_SECRET, DEMO_AGENT, DEMO_USER, readStream, startService } from '../support/helper.js'
import { execution, login } from '../support/socket-client.js'

/** What comes of an answer of the gateway, by its name in ANSWERS, on each face: its response and finish reason, or the code of the error. */
const EXPECTED: Record<string, { response: string, finishReason: string | null } | string> = {
  'an empty finish reason in every delta is no end': { response: 'Hello', finishReason: 'stop' },
  'the finish reason MAX_TOKENS is length, though the connection breaks after it': { response: 'Hello', finishReason: 'length' },
  'a finish reason that nobody knows is an end, however the connection ends': { response: 'Hello', finishReason: 'bored' },
  'a late error leaves the answer': { response: 'Hello', finishReason: 'stop' },
  'a refusal is text, and ends as filtered': { response: 'I cannot do that.', finishReason: 'content_filter' },
  'content in parts is text, and its thoughts are reasoning': { response: 'Hello', finishReason: 'stop' },
  'a message in a stream is the answer': { response: 'Hello', finishReason: 'stop' },
  'an error of the choice is a failure': 'gateway_payment_required',
  'an object error is a failure': 'gateway_rejected',
  'an image of the model is a plain error': 'gateway_image_answer'
}

t.test('the ways of gateways come to the same on every face', async t => {
  const service = await startService(t)
  const { gateway, request } = service
  const messages = [{ role: 'user', content: 'Hi' }]
  const secret = { 'x-railway-secret': BACKEND_SECRET }
  const validated = { userId: DEMO_USER, agentId: DEMO_AGENT, agentConfig: {}, messages }
  const ofJson = ({ status, body }: { status: number, body: any }) => status === 200 ? { response: body.response, finishReason: body.finishReason } : body.code
  const ofEvents = (events: any[]) => {
    const { type, response, finishReason, code } = events.at(-1)
    return type === 'done' ? { response, finishReason } : code
  }
  const faces: Record<string, () => Promise<unknown>> = {
    SSE: async () => ofEvents((await service.execute()).events),
    JSON: async () => ofJson(await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages, stream: false } })),
    validated: async () => ofJson(await request('POST', '/api/agent/execute-validated', { body: { ...validated, stream: false }, headers: secret })),
    'validated as a stream': async () => {
      const response = await fetch(`${service.url}/api/agent/execute-validated`, {
        method: 'POST', headers: { 'content-type': 'application/json', 'x-stream-events': '*', ...secret }, body: JSON.stringify(validated)
      })
      return ofEvents((await readStream(response)).events)
    },
    WebSocket: async () => {
      const client = await login(t, service)
      client.send(execution())
      const { runId } = await client.next('agent_execution_started')
      for (;;) {
        await client.roundTrip()
        const message = client.messages.find(({ type, runId: id }) => id === runId && /complete|error/.test(type))
        if (message) return message.code ?? { response: message.response, finishReason: message.finishReason }
      }
    }
  }
  for (const [name, expected] of Object.entries(EXPECTED)) {
    const { stream, breaks } = ANSWERS[name]!
    const reply: Reply = response => {
      openStream(response)
      if (breaks) response.write(stream, () => response.socket!.destroy())
      else response.end(stream)
    }
    gateway.reply = reply
    for (const [face, ask] of Object.entries(faces)) t.same(await ask(), expected, `${face}: ${name}`)
  }
})

t.test('usage that cannot be neither fails nor overcharges, and zeros at the end replace nothing', async t => {
  const service = await startService(t)
  const answer = async (...usage: Array<[number, number, number]>) => {
    const frames = usage.map(([prompt_tokens, completion_tokens, total_tokens]) => frame({ choices: [], usage: { prompt_tokens, completion_tokens, total_tokens } }))
    service.gateway.reply = response => { openStream(response).end(delta('Hello') + ending().replace(/data: \{[^\n]*"usage"[^\n]*\n\n/, frames.join(''))) }
    return (await service.execute()).events.at(-1)!
  }
  const { usage } = await answer([2 ** 31, 2 ** 40, 2 ** 41]) as any
  t.ok(usage.estimated && usage.totalTokens < 2 ** 31, JSON.stringify(usage))
  t.match(await answer([10, 5, 15], [0, 0, 0]), { type: 'done', usage: { promptTokens: 10, completionTokens: 5, totalTokens: 15, estimated: false } })
  t.match(await answer([10, 5, 3]), { type: 'done', usage: { totalTokens: 15 } })
})
