import t from 'tap'
import { say } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, createDataDir, DEMO_AGENT, DEMO_USER, endOf, startService } from '../support/helper.js'
import { login } from '../support/socket-client.js'

const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }
/** What a client sends that has spoken with a model by itself, with the fields that clients have of their own. */
const HISTORY = [
  { role: 'developer', content: 'Be brief.', id: 'm0' },
  { role: 'user', content: 'Weather?', parts: [{ type: 'text', text: 'Weather?' }], createdAt: '2026-01-01' },
  { role: 'assistant', content: null, tool_calls: [{ ...call, index: 0 }], refusal: null },
  { role: 'tool', tool_call_id: 'c1', content: 'sunny', id: 'm3' },
  { role: 'user', content: 'And \ud83d tomorrow?' }
]
const SENT = [
  { role: 'developer', content: 'Be brief.' },
  { role: 'user', content: 'Weather?' },
  { role: 'assistant', content: null, tool_calls: [call] },
  { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
  { role: 'user', content: 'And \ufffd tomorrow?' }
]
const BROKEN: Array<[messages: object[], path: string]> = [
  [HISTORY.slice(3), 'messages.0.tool_call_id'],
  [[...HISTORY.slice(0, 3), { role: 'tool', tool_call_id: 'c2', content: 'x' }], 'messages.3.tool_call_id'],
  [HISTORY.slice(0, 3), 'messages.2.tool_calls.0'],
  [[{ role: 'user', content: null }], 'messages.0.content'],
  [[{ role: 'assistant', content: null, tool_calls: [{ ...call, function: { name: 'weather', arguments: {} } }] }], 'messages.0.tool_calls.0.function.arguments']
]

t.test('a history with calls of tools is taken on every face, and only what the protocol knows of it is sent', async t => {
  const service = await startService(t)
  const { gateway, request } = service
  const secret = { 'x-railway-secret': BACKEND_SECRET }
  const client = await login(t, service)
  const validated = (messages: object[]) => request('POST', '/api/agent/execute-validated', {
    body: { userId: DEMO_USER, agentId: DEMO_AGENT, agentConfig: {}, messages, stream: false }, headers: secret
  })
  const faces: Record<string, (messages: object[]) => Promise<unknown>> = {
    'a stream': messages => service.execute({ messages }),
    'in one piece': messages => request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages, stream: false } }),
    'execute-validated': validated,
    async 'the WebSocket' (messages) {
      client.send({ type: 'agent_execute', agentId: DEMO_AGENT, messages })
      return client.next('agent_execution_complete')
    }
  }
  for (const [face, execute] of Object.entries(faces)) {
    await execute(HISTORY)
    t.strictSame(gateway.calls.at(-1)!.body.messages.slice(1), SENT, face)
  }
  const calls = gateway.calls.length
  for (const [messages, path] of BROKEN) {
    const refused = { code: 'bad_request', error: new RegExp(`^${path.replaceAll('.', '\\.')} `), details: [{ path, message: String }] }
    for (const answer of [await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages } }), await validated(messages)]) {
      t.equal(answer.status, 400)
      t.ok(answer.body.details.some((detail: { path: string }) => detail.path === path), path)
    }
    client.send({ type: 'agent_execute', agentId: DEMO_AGENT, messages })
    t.match(await client.next('error'), path.endsWith('arguments') ? { code: 'bad_request' } : refused, `the WebSocket: ${path}`)
  }
  t.equal(gateway.calls.length, calls, 'no model was asked')
})

t.test('calls and their arguments are bounded in number and size', async t => {
  const { request } = await startService(t)
  const calls = (count: number, json = '{}') => Array.from({ length: count }, (_, index) => ({ ...call, id: `c${index}`, function: { name: 'f', arguments: json } }))
  for (const [tool_calls, path] of [[calls(129), 'messages.0.tool_calls'], [calls(1, 'x'.repeat(262_145)), 'messages.0.tool_calls.0.function.arguments']] as const) {
    const { status, body } = await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'assistant', content: null, tool_calls }] } })
    t.match({ status, body }, { status: 400, body: { code: 'bad_request' } })
    t.ok(body.details.some((detail: { path: string }) => detail.path === path), path)
  }
})

t.test('what attempt 2 sends is what attempt 1 sent, whatever was in it', async t => {
  const dataDir = await createDataDir(t)
  const odd = 'a\0b\ud800c'
  const first = await startService(t, { DATA_DIR: dataDir })
  const body = {
    userId: DEMO_USER,
    agentId: DEMO_AGENT,
    agentConfig: { system_prompt: odd, knowledge_base: [{ zz: odd, a: odd }] },
    messages: [{ role: 'user', content: odd, name: odd }, { role: 'assistant', content: odd, tool_calls: [{ ...call, id: odd }] }, { role: 'tool', tool_call_id: odd, content: odd }],
    functionResults: [{ functionName: odd, functionType: 'api_call', success: true, data: { zz: { bb: odd, a: 1 }, [odd]: 1, a: 2 } }],
    response_format: { type: 'json_schema', json_schema: { strict: true, name: 'x', schema: { type: 'object', properties: { b: {}, aa: {} } } } }
  }
  // It says half and hangs.
  first.gateway.reply = (response, _call, _number) => { response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders() }
  const asked = first.gateway.nextCall()
  const response = await fetch(`${first.url}/api/agent/execute-validated`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-railway-secret': BACKEND_SECRET, 'x-stream-events': '*' },
    body: JSON.stringify(body)
  })
  const runId = response.headers.get('x-run-id')!
  const before = JSON.stringify((await asked).body)
  await first.app.close()
  await response.text().catch(() => {})
  const second = await startService(t, { DATA_DIR: dataDir })
  second.gateway.reply = say('Hello')
  t.match(await endOf(second, runId), { status: 'succeeded', attempt: 2 })
  t.equal(JSON.stringify(second.gateway.calls[0]!.body), before)
  t.notMatch(before, /\\ud800|\\u0000/)
})
