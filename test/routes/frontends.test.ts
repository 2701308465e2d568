import t from 'tap'
import { delta, ending, frame, type GatewayDouble, openStream, refuse, type Reply } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, SIMPLE_AGENT, startWorld } from '../support/edge.js'
import { BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_KEY, DEMO_USER, PLAIN, startService } from '../support/helper.js'

const MESSAGES = [{ role: 'user', content: 'Hi' }]

/** What a frontend of the platform has on its screen at the end. */
interface Screen { text: string, response?: string, error?: string, isDone: boolean }

/**
 * Reads as the platform's widget and chat page do: it splits at newlines what has come, keeps the unfinished last line,
 * looks at lines that start with `data: `, and knows `[DONE]` and the types chunk, done and error. All else is nothing
 * to it.
 */
async function readAsFrontend (response: Response): Promise<Screen> {
  const screen: Screen = { text: '', isDone: false }
  const reader = response.body!.getReader()
  const decoder = new TextDecoder()
  let buffer = ''
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    buffer += decoder.decode(next.value, { stream: true })
    const lines = buffer.split('\n')
    buffer = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue
      const data = line.slice(6).trim()
      if (data === '[DONE]') {
        screen.isDone = true
        continue
      }
      const event = JSON.parse(data)
      if (event.type === 'chunk') screen.text += event.content
      if (event.type === 'done') screen.response = event.response
      if (event.type === 'error') screen.error = event.error
    }
  }
  return screen
}

/** Says a text in pieces that come one after the other, with a thought before. */
const sayInPieces: Reply = response => {
  openStream(response).write(frame({ choices: [{ index: 0, delta: { reasoning: 'Let me think.' } }] }))
  const pieces = ['Grüße,\n', '"data: [DONE]"', ' 🙂', '\n\ndata: x']
  const next = () => {
    const piece = pieces.shift()
    if (piece === undefined) response.end(ending())
    else response.write(delta(piece), () => { setTimeout(next, 5) })
  }
  next()
}
const SAID = 'Grüße,\n"data: [DONE]" 🙂\n\ndata: x'

/** Says something and breaks off, and refuses to say it again. */
function breakOffInTheMiddle (gateway: GatewayDouble): Reply {
  return response => {
    gateway.reply = refuse(402)
    openStream(response).write(delta('Half'))
    setTimeout(() => response.destroy(), 50)
  }
}

/** How the platform's frontends call: the widget sends its key and its project's, the chat page its session. */
async function callers (): Promise<Array<[string, Record<string, string>]>> {
  return [
    ['the widget', { 'x-api-key': DEMO_KEY, apikey: 'anon-key', authorization: 'Bearer anon-key', ...PLAIN }],
    ['the chat page', { ...await bearer(), apikey: 'anon-key', ...PLAIN }]
  ]
}

function post (url: string, headers: Record<string, string>, body: object): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
}

t.test('the frontends there are read the service\'s own stream', async t => {
  const { url, gateway } = await startService(t)
  for (const [name, headers] of await callers()) {
    gateway.reply = sayInPieces
    const screen = await readAsFrontend(await post(`${url}/api/agent/execute`, headers, { agentId: DEMO_AGENT, messages: MESSAGES, stream: true }))
    t.same(screen, { text: SAID, response: SAID, isDone: true }, name)
    gateway.reply = refuse(402)
    const failed = await post(`${url}/api/agent/execute`, headers, { agentId: DEMO_AGENT, messages: MESSAGES, stream: true })
    t.match([failed.status, await failed.json()], [503, { error: /\w/ }], name)
    gateway.reply = breakOffInTheMiddle(gateway)
    const broken = await readAsFrontend(await post(`${url}/api/agent/execute`, headers, { agentId: DEMO_AGENT, messages: MESSAGES, stream: true }))
    t.match(broken, { text: 'Half', error: /\w/, isDone: true }, name)
    const { error } = await (await post(`${url}/api/agent/execute`, headers, { agentId: DEMO_AGENT, messages: [] })).json() as { error: unknown }
    t.type(error, 'string', 'an error can be printed')
  }
})

t.test('and that of the edge function, be the agent heavy or not', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { edge, gateway, service } = await startWorld(t, deno)
  for (const [name, headers] of await callers()) {
    for (const agentId of [SIMPLE_AGENT, HEAVY.agentId]) {
      gateway.reply = service.gateway.reply = sayInPieces
      const screen = await readAsFrontend(await edge.open({ agentId }, headers))
      t.same(screen, { text: SAID, response: SAID, isDone: true }, name)
      gateway.reply = service.gateway.reply = refuse(402)
      const failed = await edge.open({ agentId }, headers)
      t.match([failed.status, await failed.json()], [503, { error: /\w/ }], name)
      const { error } = await (await edge.open({ agentId, messages: [] }, headers)).json() as { error: unknown }
      t.type(error, 'string')
    }
  }
})

t.test('the edge function that is there now is answered as it expects', async t => {
  const service = await startService(t)
  const before = await service.credits()
  service.gateway.reply = sayInPieces
  const response = await post(`${service.url}/api/agent/execute-validated`, { 'x-railway-secret': BACKEND_SECRET }, {
    userId: DEMO_USER,
    agentId: DEMO_AGENT,
    agentConfig: {
      name: 'Sheep counter',
      system_prompt: 'You count sheep.',
      ai_model: 'google/gemini-2.5-flash',
      temperature: 0.7,
      max_tokens: 1000,
      knowledge_base: ['Sheep have four legs.', { content: 'Wool is warm.', id: 7 }]
    },
    messages: MESSAGES,
    functionResults: [
      { functionName: 'weather', functionType: 'api_call', success: true, data: { degrees: 21 } },
      { functionName: 'stock', functionType: 'api_call', success: false, error: 'timeout' }
    ],
    stream: true
  })
  t.same(await readAsFrontend(response), { text: SAID, response: SAID, isDone: true })
  const [system, ...rest] = service.gateway.calls[0]!.body.messages
  t.match(system.content, /^You count sheep\.[\s\S]*Sheep have four legs\.[\s\S]*Wool is warm\.[\s\S]*weather[\s\S]*"degrees":21/)
  t.notMatch(system.content, /stock|timeout/)
  t.same(rest, MESSAGES)
  t.same(await service.credits(), before, 'it has charged the user itself')
})
