import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { delta, ending, openStream, say } from '../support/doubles/gateway.js'
import { findDeno, type Project, SIMPLE_AGENT, startEdge, startWorld } from '../support/edge.js'
import { bearer, readStream, typesOf } from '../support/helper.js'
import { respond, startServer } from '../support/tools.js'

const SECRET = `whsec_${Buffer.alloc(32, 'k').toString('base64')}`

interface Row { name: string, type: string, keywords?: string[], config?: object, enabled?: boolean }

/** Gives the simple agent these functions, in this order, and no others. */
async function setFunctions (project: Project, rows: Row[]): Promise<void> {
  await project.query('delete from public.agent_functions where agent_id = $1', [SIMPLE_AGENT])
  for (const [order, { name, type, keywords = [], config = {}, enabled = true }] of rows.entries()) {
    await project.query(`insert into public.agent_functions (agent_id, name, function_type, trigger_keywords, config, execution_order, is_enabled)
      values ($1, $2, $3, $4, $5, $6, $7)`, [SIMPLE_AGENT, name, type, keywords, config, order, enabled])
  }
}

/** What a reader makes of a stream that knows OpenAI's deltas alone. */
function readDeltas (raw: string): { text: string, finishReason?: string } {
  const frames = raw.split('\n').filter(line => line.startsWith('data: ') && line !== 'data: [DONE]').map(line => JSON.parse(line.slice(6)))
  const choices = frames.map(frame => frame.choices?.[0]).filter(Boolean)
  return { text: choices.map(({ delta }) => delta.content ?? '').join(''), finishReason: choices.at(-1)?.finish_reason }
}

const user = (content: string) => ({ messages: [{ role: 'user', content }] })

t.test('functions of an agent that is not heavy run in the edge function', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const outside = await startServer(t, respond(200))
  const { project, edge, gateway, service } = await startWorld(t, deno, { ALLOW_PRIVATE_TOOL_HOSTS: `127.0.0.1:${outside.port}`, WEBHOOK_SECRET: SECRET })
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })

  t.test('a data_transform brings the model what it made of the message, in lower case', async t => {
    await setFunctions(project, [
      { name: 'second', type: 'data_transform', keywords: ['ORDER'], config: { transform_type: 'format', template: 'it was {{data}}' } },
      { name: 'silent', type: 'data_transform', keywords: ['refund'], config: { transform_type: 'format', template: 'no' } },
      { name: 'off', type: 'data_transform', keywords: ['order'], config: { transform_type: 'format', template: 'no' }, enabled: false },
      { name: 'broken', type: 'data_transform', keywords: ['order'], config: { transform_type: 'nonsense' } }
    ])
    const told = await edge.execute(user('My ORDER, please'))
    t.equal(told.text, 'Hello world')
    const [system] = gateway.calls.at(-1)!.body.messages
    t.match(system.content, /<function_result name="second" type="data_transform">\nit was my order, please\n<\/function_result>/)
    t.notMatch(system.content, /silent|"off"|broken/)
    t.match(told.events.find(event => event.type === 'tool_result' && event.name === 'broken'), { error: /must be format, extract or summarize/ }, 'which failed says so in a sentence')
    t.equal(service.gateway.calls.length, 0)
  })

  t.test('a conditional answers instead of the model, as one delta, and costs a run', async t => {
    await setFunctions(project, [
      { name: 'hours', type: 'conditional', keywords: ['open'], config: { condition_keyword: 'open, hours', condition_response: 'From 9 to 5, {{user_input}}!' } },
      { name: 'later', type: 'conditional', keywords: ['open'], config: { default_response: 'Never said.' } }
    ])
    const before = await project.balance()
    const calls = gateway.calls.length
    const told = await edge.execute(user('When are you OPEN'))
    t.same(typesOf(told), ['started', 'tool_call', 'tool_result', 'tool_call', 'tool_result', 'chunk', 'done'])
    t.equal(told.text, 'From 9 to 5, when are you open!')
    t.same(readDeltas(told.raw), { text: told.text, finishReason: 'stop' })
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
    t.match(told.events.at(-1), { type: 'done', response: told.text, creditsUsed: 1, finishReason: 'stop', usage: { totalTokens: 0 } })
    t.equal(gateway.calls.length, calls, 'no model is asked')
    t.match(await project.balance(), { remaining: before.remaining - 1, reserved: 0, entries: before.entries + 1 })
    const again = await readStream(await fetch(`${service.url}/api/runs/${told.headers.get('x-run-id')}/events`, { headers: await bearer() }))
    t.same(typesOf(again), typesOf(told), 'the service replays it')
  })

  t.test('webhooks go out as the platform\'s do: by keyword, or always, signed, and with a result for the model', async t => {
    const hook = (name: string, config: object, keywords: string[] = []) => ({ name, type: 'webhook', keywords, config: { webhook_url: `${outside.url}/${name}`, ...config } })
    await setFunctions(project, [
      hook('keyword', { trigger_event: 'on_keyword' }, ['buy']),
      hook('other', { trigger_event: 'on_keyword' }, ['sell']),
      hook('always', { trigger_event: 'on_message', payload_template: '{"said": "{{content}}", "answer": "{{response}}", "agent": "{{agent_id}}"}' }),
      hook('unknown', { trigger_event: 'on_full_moon', payload_template: '{"broken": {{content}' })
    ])
    outside.requests.length = 0
    const told = await edge.execute(user('I BUY "it"'))
    t.match(gateway.calls.at(-1)!.body.messages[0].content, /<function_result name="keyword" type="webhook">\n\{"scheduled":true\}\n/)
    t.equal(told.text, 'Hello world')
    while (outside.requests.length < 3) await outside.next()
    const bodies = Object.fromEntries(outside.requests.map(({ url, body }) => [url, JSON.parse(body)]))
    t.strictSame(Object.keys(bodies).sort(), ['/always', '/keyword', '/unknown'])
    t.same(bodies['/always'], { said: 'i buy "it"', answer: '', agent: SIMPLE_AGENT })
    for (const url of ['/keyword', '/unknown']) {
      const { timestamp, ...rest } = bodies[url]
      t.same(rest, { agent_id: SIMPLE_AGENT, message: 'i buy "it"', response: '' })
      t.ok(Date.parse(timestamp))
    }
    for (const { headers, body } of outside.requests) new Webhook(SECRET).verify(body, headers as Record<string, string>)
    // The next test waits for such a line of its own.
    while (edge.logs.filter(line => line.includes('webhook delivered')).length < 3) await edge.nextLog('webhook delivered')
  })

  t.test('after a conditional they have its answer, and one that fails is tried again', async t => {
    await setFunctions(project, [
      { name: 'hours', type: 'conditional', keywords: ['open'], config: { default_response: 'From 9 to 5.' } },
      { name: 'hook', type: 'webhook', config: { webhook_url: outside.url } }
    ])
    outside.requests.length = 0
    const delivered = edge.nextLog('webhook delivered')
    await edge.execute(user('open?'))
    t.match(JSON.parse(await delivered), { tries: 1, host: `127.0.0.1:${outside.port}` })
    t.match(JSON.parse(outside.requests[0]!.body), { message: 'open?', response: 'From 9 to 5.' })
  })

  t.test('none goes where the service\'s may not', async t => {
    const inside = await startServer(t, respond(200))
    for (const [url, word] of [
      [inside.url, '127.0.0.1'], [`http://localhost:${inside.port}`, 'localhost'], [`http://[::1]:${inside.port}`, '::1'], [`http://2130706433:${inside.port}`, '127.0.0.1'],
      ['http://169.254.169.254/latest', '169.254.169.254'], ['http://kong:8000', 'kong'], ['http://db.internal', 'db.internal'], [`http://[::ffff:127.0.0.1]:${inside.port}`, '::ffff:7f00:1']
    ] as const) {
      await setFunctions(project, [{ name: 'hook', type: 'webhook', config: { webhook_url: url } }])
      const refused = edge.nextLog('webhook not delivered')
      t.equal((await edge.execute()).text, 'Hello world')
      t.equal(JSON.parse(await refused).reason, `${word} is not at a public address, and webhooks may only go to such.`)
    }
    t.same(inside.requests, [])
    const redirecting = await startServer(t, response => { response.writeHead(302, { location: inside.url }).end() })
    t.ok(redirecting)
    await setFunctions(project, [{ name: 'hook', type: 'webhook', config: { webhook_url: 'nonsense' } }])
    await edge.execute()
    t.notMatch(gateway.calls.at(-1)!.body.messages[0].content, /hook/, 'what could never go out is no success')
  })

  t.test('one whose type is misspelt fails in a sentence, at the service or, where there is none, here, and the others go on', async t => {
    await setFunctions(project, [
      { name: 'typo', type: 'data-transform', keywords: ['order'] },
      { name: 'right', type: 'data_transform', keywords: ['order'], config: { transform_type: 'format', template: 'it was {{data}}' } }
    ])
    const alone = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url })
    const logged = alone.nextLog('function of an unknown type')
    service.gateway.reply = say('From ', 'the service')
    for (const [where, text] of [[edge, 'From the service'], [alone, 'Hello world']] as const) {
      const told = await where.execute(user('my order'))
      t.equal(told.text, text)
      t.match(told.events.filter(event => event.type === 'tool_result'), [
        { name: 'typo', error: 'The function\'s type "data-transform" is none of api_call, conditional, data_transform, webhook, python, mcp.' },
        { name: 'right', result: 'it was my order' }
      ])
    }
    t.match(gateway.calls.at(-1)!.body.messages[0].content, /it was my order/)
    t.match(JSON.parse(await logged), { functionName: 'typo', functionType: 'data-transform', agentId: SIMPLE_AGENT })
  })

  t.test('an agent with functions of other kinds goes to the service, and its stream is read by both kinds of readers', async t => {
    service.gateway.reply = say('From ', 'the service')
    for (const row of [
      { name: 'api', type: 'api_call', config: { url: 'https://example.com' } }, { name: 'code', type: 'python', config: { entrypoint: 'a:b' } },
      { name: 'new', type: 'of_tomorrow' }, { name: 'tool', type: 'conditional', config: { default_response: 'x', parameters: { type: 'object' } } }
    ]) {
      await setFunctions(project, [{ name: 'hours', type: 'conditional', keywords: ['nobody says it'] }, row])
      const told = await edge.execute()
      t.equal(told.text, 'From the service', row.name)
      t.same(readDeltas(told.raw), { text: 'From the service', finishReason: 'stop' })
    }
    await setFunctions(project, [{ name: 'api', type: 'api_call', enabled: false }])
    t.equal((await edge.execute()).text, 'Hello world', 'one that is switched off takes it nowhere')
  })

  t.test('where there is no service it is 503 in words, and nothing is charged', async t => {
    const alone = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url })
    const before = await project.balance()
    await setFunctions(project, [{ name: 'api', type: 'api_call', config: { url: 'https://example.com' } }])
    const logged = alone.nextLog('is not set')
    t.match(await alone.request('POST', '', { body: { agentId: SIMPLE_AGENT, ...user('Hi') } }),
      { status: 503, body: { code: 'not_configured', error: 'This agent uses functions that are not available right now.' } })
    t.match(JSON.parse(await logged), { cause: 'RAILWAY_BACKEND_URL is not set' })
    await setFunctions(project, [{ name: 'hours', type: 'conditional', keywords: ['open'], config: { default_response: 'From 9 to 5.' } }])
    t.equal((await alone.execute(user('open?'))).text, 'From 9 to 5.', 'those that run in place do so alone')
    t.match(await project.balance(), { remaining: before.remaining - 1, entries: before.entries + 1 })
  })

  t.test('every frame with text has both forms, live, replayed and resumed', async t => {
    await setFunctions(project, [])
    gateway.reply = response => {
      openStream(response).write(delta('Grüße\n'))
      setImmediate(() => { response.end(delta('"quoted" 🙂') + ending('length')) })
    }
    const headers = { ...await bearer(), 'idempotency-key': 'both forms' }
    const told = await edge.execute({}, headers)
    const expected = { text: 'Grüße\n"quoted" 🙂', finishReason: 'length' }
    t.same(readDeltas(told.raw), expected)
    t.equal(told.text, expected.text)
    t.equal((await edge.execute({}, headers)).raw, told.raw)
    const resumed = await fetch(`${edge.url}/runs/${told.headers.get('x-run-id')}/events`, { headers: await bearer() })
    t.same(readDeltas(await resumed.text()), expected)
  })
})
