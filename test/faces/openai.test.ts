import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { delta, ending, frame, hang, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_KEY, endOf, OTHER_USER, PYTHON_AGENT, type Service, startService, UNPUBLISHED_AGENT } from '../support/helper.js'
import { readDocument } from '../docs/markdown.js'
import { fetchForTest } from '../packages/fetch.js'
import { PACKAGES, startProgram, type Use } from './openai-orders.js'

const MESSAGES = [{ role: 'user', content: 'Hi' }]
const ASKED = { model: DEMO_AGENT, messages: MESSAGES }

/** Answers the calls from now on in turn, the last of them from there on. */
function inTurn (...replies: Reply[]): Reply {
  let calls = 0
  return (response, call, number) => replies[Math.min(++calls, replies.length) - 1]!(response, call, number)
}

t.test('chat completions', async t => {
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  for (const name of PACKAGES) {
    await t.test(`by the package ${name}`, async t => testClient(t, service, startProgram(t, 'openai-client.mjs', directory, name, service.url, ASKED)))
  }
})

t.test('the examples in docs/how-to/use-openai-packages.md print the answer', async t => {
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })
  const folder = await mkdtemp(join(tmpdir(), 'jeesi-openai-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'node_modules'))
  await symlink(join(directory, 'node_modules/openai-6'), join(folder, 'node_modules/openai'))
  const [chat, resumed, conversation] = readDocument('docs/how-to/use-openai-packages.md').fences.filter(({ language }) => language === 'js')
  const run = async ({ text }: { text: string }) => {
    await writeFile(join(folder, 'example.mjs'), text.replace('http://localhost:3000', service.url))
    return (await promisify(execFile)(process.execPath, [join(folder, 'example.mjs')])).stdout
  }
  t.equal(await run(chat!), 'Hello world')
  t.equal(await run(conversation!), 'Hello world\n')
  t.same(service.gateway.calls.at(-1)!.body.messages.slice(1).map(({ content }: any) => content), ['My name is Ada.', 'Hello world', 'What is my name?'])
  service.gateway.reply = response => {
    openStream(response).write(delta('Hello'))
    // Connections last for a second here: the program is cut once at least, and reads on.
    setTimeout(() => { response.end(delta(' again') + ending()) }, 2_500)
  }
  t.equal(await run(resumed!), 'Hello again')
})

async function testClient (t: Test, service: Service, use: Use): Promise<void> {
  const { gateway } = service
  const token = async (userId?: string) => (await bearer(userId)).authorization!.slice('Bearer '.length)

  await t.test('answer as a whole, with an access token and with an API key', async t => {
    gateway.reply = say('Hello', ' world')
    for (const key of [DEMO_KEY, await token()]) {
      const { result } = await use('create', ASKED, { key })
      t.match(result, {
        id: /^chatcmpl-[0-9a-f-]{36}$/,
        object: 'chat.completion',
        model: DEMO_AGENT,
        choices: [{ index: 0, message: { role: 'assistant', content: 'Hello world', refusal: null }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
      })
      t.ok(Math.abs(result.created - Date.now() / 1000) < 60)
    }
  })

  await t.test('are streamed, with the usage where it is asked for', async t => {
    const { result: plain } = await use('stream')
    t.match(plain[0], { object: 'chat.completion.chunk', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] })
    t.equal(plain.map((chunk: any) => chunk.choices[0].delta.content ?? '').join(''), 'Hello world')
    t.match(plain.at(-1), { choices: [{ delta: {}, finish_reason: 'stop' }] })
    t.notOk('usage' in plain.at(-1))
    const { result: counted } = await use('stream', { ...ASKED, stream_options: { include_usage: true } })
    t.match(counted.at(-1), { choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } })
    t.equal(counted[0].usage, null)
    const { result: helped, error } = await use('helper', { ...ASKED, stream_options: { include_usage: true } })
    t.equal(error, undefined)
    t.match(helped, { text: 'Hello world', completion: { choices: [{ message: { content: 'Hello world' }, finish_reason: 'stop' }] }, usage: { total_tokens: 15 } })
  })

  await t.test('tell reasoning apart, and never the tools that the agent has called', async t => {
    const thinking = frame({ choices: [{ index: 0, delta: { reasoning_content: 'Hm.' } }] })
    const call = frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{}' } }] } }] })
    const reply = () => inTurn(
      response => { openStream(response).end(thinking + call + ending('tool_calls')) },
      response => { openStream(response).end(delta('Done') + ending()) })
    gateway.reply = reply()
    const { result } = await use('create')
    t.match(result.choices, [{ message: { content: 'Done', reasoning_content: 'Hm.' }, finish_reason: 'stop' }])
    t.notOk('tool_calls' in result.choices[0].message)
    gateway.reply = reply()
    const { result: chunks } = await use('stream')
    t.equal(chunks.map((chunk: any) => chunk.choices[0].delta.reasoning_content ?? '').join(''), 'Hm.')
    t.notMatch(JSON.stringify(chunks), 'tool_calls')
    gateway.reply = say('Hello', ' world')
  })

  await t.test('fail with the errors that the package knows', async t => {
    const cases: Array<[args: object, options: Parameters<Use>[2], error: object]> = [
      [ASKED, { key: 'jeesi_no_such_key' }, { class: 'AuthenticationError', status: 401, code: 'invalid_api_key' }],
      [{ ...ASKED, model: 'gpt-4o' }, {}, { class: 'NotFoundError', status: 404, code: 'model_not_found', message: /There is no model "gpt-4o"/ }],
      [{ ...ASKED, model: UNPUBLISHED_AGENT }, {}, { class: 'NotFoundError', status: 404, code: 'model_not_found' }],
      [{ ...ASKED, n: 2 }, {}, { class: 'BadRequestError', status: 400, param: 'n', type: 'invalid_request_error' }],
      [{ ...ASKED, tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }, {}, { class: 'BadRequestError', status: 400, param: 'tools' }],
      [{ ...ASKED, logprobs: true }, {}, { class: 'BadRequestError', status: 400, param: 'logprobs' }],
      [{ ...ASKED, messages: [] }, {}, { class: 'BadRequestError', status: 400, param: 'messages' }]
    ]
    for (const [args, options, error] of cases) {
      const outcome = await use('create', args, options)
      t.match(outcome.error, { ...error, requestId: String }, JSON.stringify(args))
    }
    t.match((await use('create', { ...ASKED, temperature: 1.5, max_tokens: 5, top_p: 0.1, seed: 7, user: 'x', tools: [] })).result.choices, [{ finish_reason: 'stop' }], 'what only tunes an answer is ignored')
  })

  await t.test('tell who has no credits so, once', async t => {
    const calls = gateway.calls.length
    const key = await token(OTHER_USER)
    await service.app.database.call('deduct_credits' as never, { p_user_id: OTHER_USER, p_credits: (await service.credits(OTHER_USER)).creditsRemaining } as never).catch(() => {})
    const { error } = await use('create', ASKED, { key })
    t.match(error, { class: 'RateLimitError', status: 429, code: 'insufficient_quota', type: 'insufficient_quota', shouldRetry: 'false' })
    t.equal(gateway.calls.length, calls)
  })

  await t.test('a request that the package repeats is answered by the run that it has begun', async t => {
    const before = (await service.request('GET', '/api/runs?limit=100')).body.runs.length
    gateway.reply = refuse(400, 'no')
    const { error } = await use('create', { ...ASKED, messages: [{ role: 'user', content: `fails ${before}` }] }, { maxRetries: 2 })
    t.match(error, { status: 422 })
    t.equal((await service.request('GET', '/api/runs?limit=100')).body.runs.length, before + 1, 'a failed run is not begun again')
    gateway.reply = say('Hello')
    const asked = { ...ASKED, messages: [{ role: 'user', content: `late ${before}` }] }
    gateway.reply = async (response, call, number) => {
      await new Promise(resolve => setTimeout(resolve, 1_500))
      say('Late')(response, call, number)
    }
    const { result } = await use('create', asked, { timeout: 1_000, maxRetries: 5 })
    t.match(result.choices, [{ message: { content: 'Late' } }])
    t.equal((await service.request('GET', '/api/runs?limit=100')).body.runs.length, before + 2, 'nor is one that takes longer than the package waits')
    gateway.reply = say('Hello', ' world')
  })

  await t.test('a stream that the reader leaves is no failure of the run', async t => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hello'))
      finish = () => { response.end(delta(' there') + ending()) }
    }
    t.equal((await use('abort')).result, 'aborted')
    finish()
    const [run] = (await service.request('GET', '/api/runs?limit=1')).body.runs
    t.match(await endOf(service, run.runId), { status: 'succeeded', response: 'Hello there' })
    gateway.reply = say('Hello', ' world')
  })

  await t.test('models are the agents that the caller has', async t => {
    const { result: mine } = await use('models', {}, { key: await token() })
    t.same(mine.map(({ id }: any) => id).sort(), [DEMO_AGENT, PYTHON_AGENT, UNPUBLISHED_AGENT].sort())
    t.match(mine[0], { object: 'model', created: Number, owned_by: String })
    const { result: ofKey } = await use('models')
    t.same(ofKey.map(({ id }: any) => id).sort(), [DEMO_AGENT, PYTHON_AGENT].sort(), 'a key has its owner\'s published ones')
    t.same((await use('models', {}, { key: await token(OTHER_USER) })).result, [])
    t.match((await use('model', { id: DEMO_AGENT }, { key: await token(OTHER_USER) })).result, { id: DEMO_AGENT }, 'one that anybody may run is found by its id')
    t.match((await use('model', { id: UNPUBLISHED_AGENT }, { key: await token(OTHER_USER) })).error, { status: 404, code: 'model_not_found' })
  })
}

t.test('what is taken back and written anew', async t => {
  const service = await startService(t)
  const ask = async () => {
    const response = await fetch(`${service.url}/v1/chat/completions`, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}` }, body: JSON.stringify({ ...ASKED, stream: true })
    })
    return response.text()
  }
  const textOf = (raw: string) => raw.split('\n\n').flatMap(frame => /^data: \{/.test(frame) ? JSON.parse(frame.slice(6)).choices?.[0]?.delta?.content ?? '' : []).join('')
  const breakOff = (...pieces: string[]): Reply => (response, call, number) => {
    hang(...pieces)(response, call, number)
    setTimeout(() => response.destroy(), 50)
  }

  await t.test('is passed over where it is equal', async t => {
    service.gateway.reply = inTurn(breakOff('Hello', ' wor'), say('Hello', ' world'))
    const raw = await ask()
    t.equal(textOf(raw), 'Hello world')
    t.match(raw, /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/)
  })

  await t.test('ends the stream with an error where it is not', async t => {
    service.gateway.reply = inTurn(breakOff('Hello', ' wor'), say('Good day'))
    const raw = await ask()
    t.equal(textOf(raw), 'Hello wor')
    t.match(raw, /data: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"answer_changed"\}\}\n\ndata: \[DONE\]\n\n$/)
    t.notMatch(raw, 'finish_reason":"stop')
  })
})

t.test('errors of addresses that are none have the form of the others there', async t => {
  const service = await startService(t)
  const { status, body } = await service.request('GET', '/v1/nothing')
  t.equal(status, 404)
  t.match(body, { error: { message: String, type: 'not_found_error', code: 'not_found' } })
  const wrong = await service.request('POST', '/v1/chat/completions', { body: '{', headers: { 'x-railway-secret': BACKEND_SECRET, authorization: `Bearer ${DEMO_KEY}`, 'content-type': 'application/json' } })
  t.match(wrong.body, { error: { code: 'invalid_json' } })
})
