import { readFile } from 'node:fs/promises'
import t from 'tap'
import { delta, ending, frame, hang, openStream, say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_KEY, OTHER_USER, type Service, startService, UNPUBLISHED_AGENT } from '../support/helper.js'
import { callTool, offerTool, startTwo } from '../support/pair.js'

const key = { authorization: `Bearer ${DEMO_KEY}` }
const MESSAGES = [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }]

interface Chunk { type: string, [field: string]: any }

async function send ({ url }: Service, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/api/chat`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...key, ...headers }, body: JSON.stringify({ agentId: DEMO_AGENT, messages: MESSAGES, ...body })
  })
}

async function post (service: Service, body: object, headers: Record<string, string> = {}) {
  return read(await send(service, body, headers))
}

async function get ({ url }: Service, path: string, headers: Record<string, string> = key, method = 'GET') {
  return read(await fetch(url + path, { method, headers }))
}

async function read (response: Response) {
  const raw = await response.text()
  const chunks = joined(raw.split('\n\n').flatMap(frame => frame.startsWith('data: {') ? JSON.parse(frame.slice('data: '.length)) : []))
  return { status: response.status, headers: response.headers, raw, chunks, text: chunks.map(({ type, delta }) => type === 'text-delta' ? delta : '').join('') }
}

/** With pieces of one text in one: how many there are depends on how the gateway's bytes arrive. */
function joined (chunks: Chunk[]): Chunk[] {
  const whole: Chunk[] = []
  for (const chunk of chunks) {
    const last = whole.at(-1)
    if (chunk.type === 'text-delta' && last?.type === 'text-delta' && last.id === chunk.id) last.delta += chunk.delta
    else whole.push(chunk)
  }
  return whole
}

t.test('POST /api/chat', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  const { gateway } = service

  await t.test('answers with a stream of UI messages', async t => {
    const { status, headers, raw, chunks } = await post(service, { id: 'c' })
    t.equal(status, 200)
    t.match(Object.fromEntries(headers), {
      'content-type': 'text/event-stream; charset=utf-8', 'x-vercel-ai-ui-message-stream': 'v1', 'cache-control': 'no-cache, no-transform', 'x-run-id': String
    })
    t.equal(headers.get('x-workflow-run-id'), headers.get('x-run-id'))
    t.same(chunks.map(({ type }) => type), ['start', 'start-step', 'text-start', 'text-delta', 'text-end', 'finish-step', 'finish'])
    t.match(raw, /\n\ndata: \[DONE\]\n\n$/)
    t.notOk('finishReason' in chunks.at(-1)!, 'the oldest clients refuse what they do not know')
    t.match((await post(service, { ui: 7 })).chunks.at(-1), { finishReason: 'stop' })
  })

  await t.test('reads JSON of any type that programs name by themselves', async t => {
    for (const type of ['text/plain;charset=UTF-8', 'application/json; charset=utf-8']) t.equal((await post(service, {}, { 'content-type': type })).status, 200, type)
    t.equal((await post(service, {}, { 'content-type': 'image/png' })).status, 415)
  })

  await t.test('takes of a conversation what the model is to see', async t => {
    gateway.reply = say('Hello')
    const image = { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AAAA', filename: 'a.png' }
    await post(service, {
      messages: [
        { role: 'system', parts: [{ type: 'text', text: 'Be brief.' }] },
        { role: 'user', parts: [{ type: 'text', text: 'Look' }, image, { type: 'data-note', data: {} }] },
        {
          role: 'assistant',
          metadata: {},
          parts: [
            { type: 'step-start' }, { type: 'reasoning', text: 'Hm.' }, { type: 'text', text: 'A ' }, { type: 'of a later version' },
            { type: 'dynamic-tool', toolName: 'x', toolCallId: 'c', state: 'output-available', input: {}, output: 'a lie' }, { type: 'step-start' }, { type: 'text', text: 'cat' }
          ]
        },
        { role: 'assistant', parts: [{ type: 'tool-x', toolCallId: 'd', state: 'input-available', input: {} }] },
        ...MESSAGES
      ]
    })
    t.same(gateway.calls.at(-1)!.body.messages.slice(1), [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Look' }, { type: 'image_url', image_url: { url: image.url } }] },
      { role: 'assistant', content: 'A cat' },
      { role: 'user', content: 'Hi' }
    ])
  })

  await t.test('refuses what is no conversation, and says where', async t => {
    const calls = gateway.calls.length
    const user = (...parts: object[]) => ({ messages: [{ role: 'user', parts }] })
    const cases: Array<[body: object, status: number, path: string]> = [
      [{ messages: [] }, 400, 'messages'],
      [{ messages: undefined }, 400, 'messages'],
      [{ messages: [{ role: 'tool', parts: [{ type: 'text', text: 'a result without a call' }] }] }, 400, 'messages.0.role'],
      [{ messages: [{ role: 'developer', parts: [] }] }, 400, 'messages.0.role'],
      [{ messages: [{ role: 'user', content: 'as in version 4' }] }, 400, 'messages.0.parts'],
      [{ messages: [{ role: 'assistant', parts: [{ type: 'dynamic-tool' }] }] }, 400, 'messages'],
      [user(), 400, 'messages.0.parts'],
      [user({ type: 'text' }), 400, 'messages.0.parts.0.text'],
      [user({ type: 'text', text: 5 }), 400, 'messages.0.parts.0.text'],
      [user({ type: 'file', mediaType: 'application/pdf', url: 'https://example.com/a.pdf' }), 400, 'messages.0.parts.0.mediaType'],
      [user({ type: 'file', mediaType: 'image/png', url: 'file:///etc/passwd' }), 400, 'messages.0.parts.0.url'],
      [user({ type: 'file', mediaType: 'image/png' }), 400, 'messages.0.parts.0.url'],
      [{ agentId: undefined }, 400, 'agentId'],
      [{ agentId: 'gpt-4o' }, 400, 'agentId'],
      [{ id: '' }, 400, 'id'],
      [{ id: '..' }, 400, 'id'],
      [{ id: 'x'.repeat(101) }, 400, 'id'],
      [{ ui: 4 }, 400, 'ui'],
      [{ ui: '7' }, 400, 'ui']
    ]
    for (const [body, expected, path] of cases) {
      const { status, raw } = await post(service, body)
      t.equal(status, expected, JSON.stringify(body).slice(0, 80))
      const { code, details } = JSON.parse(raw)
      t.equal(code, 'bad_request')
      t.ok(details.some((detail: { path: string }) => detail.path === path), `${path} of ${JSON.stringify(details)}`)
    }
    t.equal(gateway.calls.length, calls)
    t.match(await post(service, { agentId: UNPUBLISHED_AGENT }), { status: 404, raw: /agent_not_found/ })
    t.match(await post(service, {}, { authorization: 'Bearer nobody' }), { status: 401 })
  })

  await t.test('with an Idempotency-Key joins the run that it has begun', async t => {
    const first = await post(service, { id: 'keyed' }, { 'idempotency-key': 'k' })
    const second = await post(service, { id: 'keyed' }, { 'idempotency-key': 'k' })
    t.equal(second.headers.get('x-run-id'), first.headers.get('x-run-id'))
    t.same(second.chunks, first.chunks)
  })

  await t.test('begins nothing for who has no credits', async t => {
    const other = await bearer(OTHER_USER)
    for (let left = (await service.credits(OTHER_USER)).creditsRemaining; left > 0; left--) await post(service, {}, other)
    t.match(await post(service, {}, other), { status: 402, raw: /insufficient_credits/ })
  })
})

t.test('GET /api/chat/:id/stream', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '10000' })
  const { gateway } = service
  /** Begins a run whose answer comes when it is finished. */
  const begin = async (id: string | undefined, headers: Record<string, string> = key) => {
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => { response.end(delta('lo') + ending()) }
    }
    const asked = gateway.nextCall()
    // Its chat is known by the time that its answer has begun.
    const [response] = await Promise.all([send(service, { id }, headers), asked])
    return { finish: () => finish(), streaming: read(response) }
  }

  await t.test('tells what goes on from the beginning, and then that there is nothing', async t => {
    for (const id of ['a chat', 'ü/€?#%', 'x'.repeat(100), '€'.repeat(100)]) {
      const path = `/api/chat/${encodeURIComponent(id)}/stream`
      t.equal((await get(service, path)).status, 204)
      const { finish, streaming } = await begin(id)
      const following = await fetch(service.url + path, { headers: key })
      finish()
      const [posted, followed] = await Promise.all([streaming, read(following)])
      t.equal(posted.text, 'Hello')
      t.same(followed.chunks, posted.chunks, id)
      t.equal(followed.headers.get('x-workflow-run-id'), posted.headers.get('x-workflow-run-id'))
      t.match(await get(service, path), { status: 204, raw: '' })
    }
  })

  await t.test('never answers 204 to who says how much it has', async t => {
    const { finish, streaming } = await begin('counted')
    finish()
    const { chunks, raw, headers } = await streaming
    const runId = headers.get('x-workflow-run-id')!
    for (const id of ['counted', runId]) {
      const count = (raw: string) => raw.split('\n\n').length - 2
      for (let startIndex = 0; startIndex < count(raw); startIndex++) {
        const rest = await get(service, `/api/chat/${id}/stream?startIndex=${startIndex}`)
        t.ok(raw.endsWith(rest.raw), `from ${startIndex} on`)
        t.equal(count(rest.raw), count(raw) - startIndex)
      }
      const last = await get(service, `/api/chat/${id}/stream?startIndex=-3`)
      t.same(last.chunks, chunks, 'who asks for the last is told all')
      t.equal(last.headers.get('x-workflow-stream-tail-index'), '-1')
    }
    for (const startIndex of [0, -5]) t.match(await get(service, `/api/chat/unknown/stream?startIndex=${startIndex}`), { status: 200, chunks: [{ type: 'finish' }] })
    t.match(await get(service, '/api/chat/unknown/stream?startIndex=3'), { status: 404 }, 'who has a part is not told that it is all')
    const beyond = await get(service, `/api/chat/${runId}/stream?startIndex=500`)
    t.match(beyond.chunks, [{ type: 'message-metadata', messageMetadata: { error: { code: 'answer_changed' } } }, { type: 'error' }, { type: 'finish' }])
    t.equal((await get(service, '/api/chat/counted/stream?startIndex=half')).status, 400)
  })

  await t.test('tells a run that has ended without a page being told, once', async t => {
    const { finish, streaming } = await begin(undefined)
    finish()
    const { headers } = await streaming
    t.equal((await get(service, `/api/chat/${headers.get('x-run-id')}/stream`)).status, 204)
    const leaves = new AbortController()
    gateway.reply = hang('Hel')
    const response = await fetch(`${service.url}/api/chat`, {
      method: 'POST', headers: { 'content-type': 'application/json', ...key }, body: JSON.stringify({ id: 'left', agentId: DEMO_AGENT, messages: MESSAGES }), signal: leaves.signal
    })
    const runId = response.headers.get('x-run-id')!
    leaves.abort()
    await service.request('POST', `/api/runs/${runId}/cancel`, { headers: key })
    t.equal((await get(service, '/api/chat/left/stream')).status, 204, 'but not one that was stopped')
  })

  await t.test('knows the chats of the caller alone', async t => {
    const mine = await begin('shared name')
    for (const headers of [await bearer(OTHER_USER)]) {
      t.equal((await get(service, '/api/chat/shared name/stream', headers)).status, 204)
      t.match(await get(service, '/api/chat/shared name/stream?startIndex=0', headers), { chunks: [{ type: 'finish' }] })
      t.equal((await service.request('POST', '/api/chat/shared name/stop', { headers })).status, 204)
    }
    const theirs = await begin('shared name', await bearer(OTHER_USER))
    mine.finish()
    theirs.finish()
    const [one, other] = await Promise.all([mine.streaming, theirs.streaming])
    t.not(one.headers.get('x-run-id'), other.headers.get('x-run-id'))
    const runId = one.headers.get('x-run-id')!
    t.match(await get(service, `/api/chat/${runId}/stream?startIndex=1`, await bearer(OTHER_USER)), { status: 404 })
    t.equal((await get(service, `/api/chat/${runId}/stream?startIndex=1`, await bearer())).status, 200, 'the owner of a key reads its chats')
  })

  await t.test('answers HEAD without a body, which tells nobody anything', async t => {
    const { finish, streaming } = await begin('head')
    t.match(await get(service, '/api/chat/head/stream', key, 'HEAD'), { status: 200, raw: '' })
    finish()
    await streaming
  })
})

t.test('a run whose texts are gone', async t => {
  const { a: service, sql } = await startTwo(t)
  const { chunks, headers } = await post(service, { id: 'old', ui: 'workflow' })
  const runId = headers.get('x-run-id')!
  await sql.query('delete from public.agent_run_traces where run_id = $1', [runId])
  service.app.events.evict(runId)
  const restored = await get(service, `/api/chat/${runId}/stream?startIndex=2`)
  t.match(restored.chunks, [{ type: 'reset-step' }, { type: 'text-start' }, { type: 'text-delta', delta: 'Hello world' }, { type: 'text-end' }, { type: 'finish' }], 'is told anew where its events are gone')
  t.equal(chunks.filter(({ type }) => type === 'reset-step').length, 1, 'as it was at the beginning')
  await sql.query('update public.agent_runs set response = \'\', erased = true where id = $1', [runId])
  service.app.events.evict(runId)
  t.match((await get(service, `/api/chat/${runId}/stream?startIndex=3`)).chunks, [{ type: 'message-metadata' }, { type: 'error' }, { type: 'finish' }], 'and is no empty answer')
})

t.test('POST /api/chat/:id/stop', async t => {
  const service = await startService(t)
  const { gateway } = service
  gateway.reply = hang('Hel')
  const begin = async () => {
    const asked = gateway.nextCall()
    const streaming = post(service, { id: 'c' })
    await asked
    return streaming
  }
  const all = [begin(), begin()]
  while (gateway.calls.length < 2) await new Promise(resolve => setTimeout(resolve, 10))
  const { status, body } = await service.request('POST', '/api/chat/c/stop', { headers: key })
  t.match([status, body], [200, { status: 'cancelled' }])
  for (const streaming of all) t.match((await streaming).chunks.slice(-2), [{ type: 'abort' }, { type: 'finish', messageMetadata: { status: 'cancelled' } }], 'every run of the chat is stopped')
  t.equal((await service.request('POST', '/api/chat/c/stop', { headers: key })).status, 204, 'and once more there is nothing to stop')
})

t.test('pages of other origins may read what they need', async t => {
  const service = await startService(t, { CORS_ORIGINS: 'https://app.example.com' })
  const { headers } = await post(service, {}, { origin: 'https://app.example.com' })
  t.equal(headers.get('access-control-allow-origin'), 'https://app.example.com')
  t.match(headers.get('access-control-expose-headers'), /x-workflow-run-id.*x-workflow-stream-tail-index/)
})

t.test('the stream is the one that was recorded', async t => {
  const { a: service, sql } = await startTwo(t)
  await offerTool(sql)
  const think = frame({ choices: [{ index: 0, delta: { reasoning_content: 'Hm. Blue?' } }] })
  for (const ui of [5, 7, 'workflow']) {
    let calls = 0
    service.gateway.reply = (response, call, number) => {
      calls++
      if (calls === 1) return callTool('look_up', { user_input: 'blue' }, 'Let me see. ')(response, call, number)
      if (calls === 2) {
        openStream(response).write(think + delta('It is') + (ui === 5 ? '' : delta(' r')))
        setTimeout(() => response.destroy(), 50)
        return
      }
      openStream(response).end(think + delta('It is') + delta(' blue. ✓') + ending())
    }
    const { chunks, headers } = await post(service, { ui })
    const recorded = `${chunks.map(chunk => JSON.stringify(chunk)).join('\n')}\n`.replaceAll(headers.get('x-run-id')!, '<run>').replace(/"executionTime":\d+/g, '"executionTime":0').replace(/"delayMs":\d+/g, '"delayMs":0')
    t.equal(recorded, await readFile(new URL(`golden/ai-sdk-${ui}.jsonl`, import.meta.url), 'utf8'), `of ${ui}`)
  }
})
