import t, { type Test } from 'tap'
import { delta, ending, frame, hang, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, type Service } from '../support/helper.js'
import { offerTool, startTwo } from '../support/pair.js'
import { type AiSdk, type Chat, type ChatOptions, fromNow, loadAiSdks, openChat } from './ai-sdk-client.js'

const headers = { authorization: `Bearer ${DEMO_KEY}` }

/** Says these pieces, and breaks off after they were read. */
function breakOff (...pieces: string[]): Reply {
  return (response, call, number) => {
    hang(...pieces)(response, call, number)
    setTimeout(() => response.destroy(), 50)
  }
}

/** Thinks, says something, and calls a tool. */
const callLookUp: Reply = response => {
  const call = { index: 0, id: 'c1', type: 'function', function: { name: 'look_up', arguments: '{"user_input":"blue"}' } }
  openStream(response).end(frame({ choices: [{ index: 0, delta: { reasoning_content: 'Hm.' } }] }) + delta('Let me see. ') +
    frame({ choices: [{ index: 0, delta: { tool_calls: [call] } }] }) + ending('tool_calls'))
}

t.test('a page of the AI SDK', async t => {
  const loaded = await loadAiSdks(t)
  if (!loaded) return
  const { a: service, sql } = await startTwo(t, { RATE_LIMIT_MAX: '100000', MAX_CONNECTIONS_PER_USER: '1000' })
  await offerTool(sql)
  for (const sdk of loaded.sdks) {
    const own = Number(sdk.version[0])
    for (const ui of sdk.name.endsWith('oldest') ? [undefined] : [undefined, own]) {
      await t.test(`of version ${sdk.version}, ${ui === undefined ? 'which says nothing of its version' : `which says that it is ${ui}`}`, async t => testPage(t, service, sdk, ui))
    }
  }
})

async function testPage (t: Test, service: Service, sdk: AiSdk, ui: number | undefined): Promise<void> {
  const { gateway } = service
  const api = `${service.url}/api/chat`
  const open = ({ transport = {}, ...options }: Partial<ChatOptions> = {}): Chat => openChat(sdk, {
    transport: new sdk.DefaultChatTransport({ api, headers, body: { agentId: DEMO_AGENT, ui }, ...transport }), ...options
  })
  let chats = 0
  t.beforeEach(() => { chats++ })
  const id = () => `chat ${sdk.name} ${ui} ${chats}`

  await t.test('shows an answer, with what it has used', async t => {
    fromNow(gateway, say('Hello', ' world'))
    const chat = open()
    await chat.send('Hi')
    t.equal(chat.error, undefined)
    t.same([chat.status, chat.text], ['ready', 'Hello world'])
    const [, answer] = chat.messages
    t.match(answer, { role: 'assistant', parts: [{ type: 'step-start' }, { type: 'text' }] })
    t.match(answer!.metadata, { runId: answer!.id, agentId: DEMO_AGENT, usage: { promptTokens: 10, totalTokens: 15 }, creditsUsed: 1, finishReason: 'stop', status: 'succeeded' })
    if (ui !== undefined && ui > 5) t.equal(chat.ends[0].finishReason, 'stop')
    fromNow(gateway, say('Again'))
    await chat.send('And now?')
    t.same(gateway.calls.at(-1)!.body.messages.slice(1), [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello world' }, { role: 'user', content: 'And now?' }])
  })

  await t.test('shows reasoning, steps and tools, and is not asked to run them', async t => {
    fromNow(gateway, callLookUp, say('Done'))
    const before = gateway.calls.length
    const chat = open({ sendAutomaticallyWhen: sdk.lastAssistantMessageIsCompleteWithToolCalls })
    await chat.send('Hi')
    t.equal(chat.error, undefined)
    t.match(chat.messages[1]!.parts, [
      { type: 'step-start' }, { type: 'reasoning', text: 'Hm.' }, { type: 'text', text: 'Let me see. ' },
      { type: 'dynamic-tool', toolName: 'look_up', state: 'output-available', input: { user_input: 'blue' }, output: 'It is blue.' },
      { type: 'step-start' }, { type: 'text', text: 'Done' }
    ])
    t.same(chat.toolCalls, [])
    t.equal(gateway.calls.length, before + 2, 'nothing is sent by itself')
    t.equal(chat.messages.length, 2)
  })

  await t.test('shows the failure of a tool', async t => {
    const call = { index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{}' } }
    fromNow(gateway, response => { openStream(response).end(frame({ choices: [{ index: 0, delta: { tool_calls: [call] } }] }) + ending('tool_calls')) }, say('Done'))
    const chat = open()
    await chat.send('Hi')
    t.same([chat.status, chat.text], ['ready', 'Done'])
    t.match(chat.messages[1]!.parts.find(({ type }) => type === 'dynamic-tool'), { toolName: 'nobody', state: 'output-error', errorText: /There is no tool nobody/ })
  })

  await t.test('sees nothing of a rewind to the same text, and is told of it as progress', async t => {
    fromNow(gateway, breakOff('Hello', ' wor'), say('Hel', 'lo world'))
    const chat = open()
    await chat.send('Hi')
    t.same([chat.status, chat.text, chat.error], ['ready', 'Hello world', undefined])
    t.match(chat.data, [{ type: 'data-progress', data: { type: 'retry', code: 'gateway_unavailable' }, transient: true }])
    t.match(chat.messages[1]!.parts, [{ type: 'step-start' }, { type: 'text', text: 'Hello world' }], 'it is one text')
  })

  await t.test('shows no text that was taken back as an answer', async t => {
    fromNow(gateway, callLookUp, breakOff('Yes', ', and'), say('No'))
    const chat = open({ id: id() })
    await chat.send('Hi')
    if (ui === 7) {
      t.same([chat.status, chat.text, chat.error], ['ready', 'Let me see. No', undefined])
    } else {
      t.equal(chat.status, 'error')
      t.ok(chat.error instanceof TypeError, 'as by a connection that is lost')
    }
    const later = open({
      id: id(), messages: chat.messages.slice(0, 1), transport: { prepareReconnectToStreamRequest: ({ id }: any) => ({ api: `${api}/${encodeURIComponent(id)}/stream?startIndex=0`, headers }) }
    })
    await later.resume()
    t.same([later.status, later.text], ['ready', 'Let me see. No'], 'a page that asks again is told the right text')
  })

  await t.test('shows the sentence of a failure, before the first word and after', async t => {
    for (const replies of [[refuse(400)], [breakOff('half'), refuse(400)]]) {
      fromNow(gateway, ...replies)
      const chat = open()
      await chat.send('Hi')
      t.match([chat.status, chat.error?.message], ['error', /^The model does not accept this request\.$/])
      t.match(chat.messages[1]?.metadata, { status: 'failed', error: { code: 'gateway_rejected', retryable: false } })
    }
    const refused = open({ transport: { headers: { authorization: 'Bearer jeesi_no_such_key' } } })
    await refused.send('Hi')
    t.equal(refused.status, 'error')
    t.match(JSON.parse(refused.error!.message), { code: 'unauthorized', statusCode: 401 })
  })

  await t.test('goes on after a reload, without a letter twice', async t => {
    let finish = () => {}
    fromNow(gateway, callLookUp, response => {
      openStream(response).write(delta('Hel'))
      finish = () => { response.end(delta('lo') + ending()) }
    })
    const chat = open({ id: id() })
    const sending = chat.send('Hi')
    await chat.shows('Let me see. Hel')
    await chat.stop()
    await sending
    const reloaded = open({ id: id(), messages: chat.messages.slice(0, 1) })
    const resuming = reloaded.resume()
    await reloaded.shows('Let me see. Hel')
    finish()
    await resuming
    t.same([reloaded.status, reloaded.text, reloaded.error], ['ready', 'Let me see. Hello', undefined])
    t.equal(reloaded.messages[1]!.id, chat.messages[1]!.id, 'it is the same message')
    const ended = open({ id: id(), messages: reloaded.messages })
    await ended.resume()
    t.same([ended.messages, ended.error], [reloaded.messages, undefined], 'and once it has ended there is nothing to go on with')
    // The first of version 5 says so for ever.
    t.equal(ended.status, sdk.version === '5.0.0' ? 'submitted' : 'ready')
  })

  await t.test('stops an answer', async t => {
    fromNow(gateway, hang('half'))
    const chat = open({ id: id() })
    const sending = chat.send('Hi')
    await chat.shows('half')
    const { status, body } = await service.request('POST', `/api/chat/${encodeURIComponent(id())}/stop`, { headers })
    t.match([status, body], [200, { status: 'cancelled' }])
    await sending
    t.same([chat.status, chat.text], ['ready', 'half'])
    t.match(chat.messages[1]!.metadata, { status: 'cancelled', creditsUsed: 1 })
    t.equal((await service.request('POST', `/api/chat/${encodeURIComponent(id())}/stop`, { headers })).status, 204)
  })
}
