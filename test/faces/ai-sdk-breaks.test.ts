import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { delta, ending, hang, openStream, type Reply, say, startGateway } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, bearer, DEMO_AGENT, endOf, JWT_SECRET, startService } from '../support/helper.js'
import { callTool, offerTool, startTwo } from '../support/pair.js'
import { launch } from '../support/process.js'
import { until } from '../support/replica.js'
import { type AiSdk, type Chat, type ChatOptions, fromNow, loadAiSdks, openChat } from './ai-sdk-client.js'

type Loaded = NonNullable<Awaited<ReturnType<typeof loadAiSdks>>>

/** What a page asked for, and from where. */
interface Wire { url: string, visits: string[], cutAfter?: string }

/** Goes to whatever service there is now; a connection is cut behind a text, once. */
function fetchBy (wire: Wire, headers: Record<string, string>) {
  return async (address: string, init: any) => {
    const path = address.replace(/^https?:\/\/[^/]+/, '')
    wire.visits.push(`${init.method ?? 'GET'} ${path}`)
    const response = await fetch(wire.url + path, { ...init, headers: { ...init.headers, ...headers } })
    const { cutAfter } = wire
    if (cutAfter === undefined || !response.body) return response
    wire.cutAfter = undefined
    let seen = ''
    const cut = new TransformStream({
      transform (piece, controller) {
        seen += Buffer.from(piece)
        controller.enqueue(piece)
        // What was passed on is read before.
        if (seen.includes(cutAfter)) setTimeout(() => controller.error(new TypeError('network error')), 50)
      }
    })
    return new Response(response.body.pipeThrough(cut), response)
  }
}

/** Answers in two pieces, the second when it is told to. */
function inTwo (first: string, second: string): { reply: Reply, finish: () => void, asked: Promise<void> } {
  let finish = () => {}
  let arrive = () => {}
  const asked = new Promise<void>(resolve => { arrive = resolve })
  const reply: Reply = response => {
    openStream(response).write(delta(first))
    finish = () => { response.end(delta(second) + ending()) }
    arrive()
  }
  return { reply, finish: () => finish(), asked }
}

const headers = await bearer()

function openDefault (sdk: AiSdk, wire: Wire, ui?: number, options: Partial<ChatOptions> = {}): Chat {
  const transport = new sdk.DefaultChatTransport({ api: `${wire.url}/api/chat`, fetch: fetchBy(wire, headers), body: { agentId: DEMO_AGENT, ui } })
  return openChat(sdk, { transport, ...options })
}

function openWorkflow ({ newest, WorkflowChatTransport }: Loaded, wire: Wire, ui: string | number | undefined = 'workflow', options: Partial<ChatOptions> & { initialStartIndex?: number } = {}): Chat {
  const { initialStartIndex, ...more } = options
  const transport = new WorkflowChatTransport({
    api: `${wire.url}/api/chat`,
    fetch: fetchBy(wire, headers),
    initialStartIndex,
    prepareSendMessagesRequest: ({ id, messages }: any) => ({ body: { id, messages, agentId: DEMO_AGENT, ui } })
  })
  return openChat(newest, { transport, ...more })
}

/** Two services, and the gateway of these and of all others beside them: whichever makes a run gets the next answer. */
async function setUp (t: Test) {
  t.capture(console, 'error')
  const gateway = await startGateway(t)
  return { ...await startTwo(t, { MAX_CONNECTIONS_PER_USER: '1000', AI_GATEWAY_URL: gateway.url, KEEP_MESSAGES: 'true' }), gateway }
}

t.test('a connection that ends before the run', async t => {
  const loaded = await loadAiSdks(t)
  if (!loaded) return
  const { a, b, shared, gateway } = await setUp(t)
  const short = await startService(t, { ...shared, SSE_MAX_SECONDS: '1' })

  for (const sdk of loaded.sdks) {
    await t.test(`is no answer to version ${sdk.version}, whether it lasted too long or the service is replaced`, async t => {
      const replaced = await startService(t, shared)
      for (const { url, end } of [{ url: short.url, end: async () => {} }, { url: replaced.url, end: () => replaced.app.close() }]) {
        const answer = inTwo('half', ' and half')
        fromNow(gateway, answer.reply)
        const id = `${sdk.name} at ${new URL(url).port}`
        const chat = openDefault(sdk, { url, visits: [] }, undefined, { id })
        const sending = chat.send('Hi')
        await chat.shows('half')
        const again = inTwo('half', ' and half')
        fromNow(gateway, again.reply)
        await end()
        await sending
        t.match([chat.status, chat.text], ['error', 'half'])
        t.ok(chat.error instanceof TypeError, 'a connection is lost')
        const reloaded = openDefault(sdk, { url: b.url, visits: [] }, undefined, { id, messages: chat.messages.slice(0, 1) })
        const resuming = reloaded.resume()
        // Beside another process, without Redis, a page is told the end alone.
        if (url === replaced.url) await again.asked
        answer.finish()
        again.finish()
        await resuming
        t.match([reloaded.error?.message, reloaded.status, reloaded.text], [undefined, 'ready', 'half and half'])
      }
    })
  }

  await t.test('is gone on with by a page of the newest version, when it is looked at again', async t => {
    for (const hasEnded of [false, true]) {
      const { reply, finish } = inTwo('Hel', 'lo')
      fromNow(gateway, reply)
      const chat = openDefault(loaded.newest, { url: a.url, visits: [], cutAfter: 'Hel' }, 7, { id: `looked at again ${hasEnded}` })
      await chat.send('Hi')
      t.match([chat.status, chat.text], ['error', 'Hel'])
      if (hasEnded) finish()
      if (hasEnded) await endOf(a, chat.messages[1]!.id)
      const resuming = chat.resume()
      if (!hasEnded) finish()
      await resuming
      t.match([chat.status, chat.text, chat.messages.length], ['ready', 'Hello', 2])
    }
  })

  await t.test('leaves no half of an answer that seems to be all of it, if the run ends meanwhile', async t => {
    const { reply, finish } = inTwo('Hel', 'lo')
    fromNow(gateway, reply)
    const chat = openDefault(loaded.newest, { url: short.url, visits: [] }, undefined, { id: 'ended meanwhile' })
    await chat.send('Hi')
    t.match([chat.status, chat.text], ['error', 'Hel'])
    finish()
    await endOf(a, chat.messages[1]!.id)
    await chat.resume()
    t.match([chat.status, chat.text, chat.messages.length], ['ready', 'Hello', 2])
    const again = openDefault(loaded.newest, { url: a.url, visits: [] }, undefined, { id: 'ended meanwhile', messages: chat.messages })
    await again.resume()
    t.same([again.status, again.messages], ['ready', chat.messages], 'and what was told to its end is told no more')
  })
})

t.test('the transport that resumes by itself', async t => {
  const loaded = await loadAiSdks(t)
  if (!loaded) return
  const { a, shared, sql, gateway } = await setUp(t)

  await t.test('goes on after a cut, without a letter twice, whatever it says of its version', async t => {
    for (const ui of ['workflow', undefined, 5, 7]) {
      const { reply, finish } = inTwo('Hel', 'lo')
      fromNow(gateway, reply)
      const wire: Wire = { url: a.url, visits: [], cutAfter: 'Hel' }
      const chat = openWorkflow(loaded, wire, ui)
      const sent = chat.send('Hi')
      await until(async () => wire.visits.length, visits => visits > 1)
      finish()
      await sent
      t.match([chat.status, chat.text, chat.error, chat.messages.length], ['ready', 'Hello', undefined, 2], String(ui))
      t.match(wire.visits, ['POST /api/chat', /^GET \/api\/chat\/[0-9a-f-]{36}\/stream\?startIndex=[1-9]$/])
    }
  })

  await t.test('goes on when connections last a second', async t => {
    const short = await startService(t, { ...shared, SSE_MAX_SECONDS: '1' })
    let response: Parameters<Reply>[0]
    fromNow(gateway, answer => { response = openStream(answer) })
    const wire: Wire = { url: short.url, visits: [] }
    const asked = gateway.nextCall()
    const chat = openWorkflow(loaded, wire)
    const sent = chat.send('Hi')
    await asked
    for (const text of ['One ', 'Two ', 'Three ']) {
      const visits = wire.visits.length
      response!.write(delta(text))
      await until(async () => wire.visits.length, count => count > visits)
    }
    response!.end(delta('four') + ending())
    await sent
    t.match([chat.status, chat.text], ['ready', 'One Two Three four'])
    await short.app.close()
  })

  await t.test('goes on after two deploys, whatever the next processes make of it', async t => {
    const deployed = await setUp(t)
    const [first, second] = [await startService(t, deployed.shared), deployed.a]
    fromNow(deployed.gateway, hang('Hel'), hang('Goodb'), say('Goodbye'))
    await deployed.b.app.close()
    const wire: Wire = { url: first.url, visits: [] }
    const chat = openWorkflow(loaded, wire)
    const sent = chat.send('Hi')
    await chat.shows('Hel')
    wire.url = second.url
    await first.app.close()
    await chat.shows('Goodb')
    const third = await startService(t, deployed.shared)
    wire.url = third.url
    await second.app.close()
    await sent
    t.match([chat.status, chat.text, chat.error, chat.messages.length], ['ready', 'Goodbye', undefined, 2])
  })

  await t.test('is told a typed error where it cannot say that its text is no longer that of the run', async t => {
    const first = await startService(t, shared)
    fromNow(gateway, hang('Hel'), say('Goodbye'))
    const wire: Wire = { url: first.url, visits: [] }
    const chat = openWorkflow(loaded, wire, 5)
    const sent = chat.send('Hi')
    await chat.shows('Hel')
    wire.url = a.url
    await first.app.close()
    await sent
    t.match([chat.status, chat.error?.message], ['error', /taken back and written anew/])
    t.match(chat.messages[1]!.metadata, { status: 'failed', error: { code: 'answer_changed' } })
  })

  await t.test('keeps the tools that have run when the process is replaced', async t => {
    await offerTool(sql)
    const first = await startService(t, shared)
    fromNow(gateway, callTool('look_up', { user_input: 'blue' }, 'Let me see. '), hang('It'), say('Blue it is'))
    const wire: Wire = { url: first.url, visits: [] }
    const chat = openWorkflow(loaded, wire)
    const sent = chat.send('Hi')
    await chat.shows('Let me see. It')
    wire.url = a.url
    await first.app.close()
    await sent
    t.match([chat.status, chat.text, chat.error], ['ready', 'Let me see. Blue it is', undefined])
    t.match(chat.messages[1]!.parts, [{ type: 'text' }, { type: 'dynamic-tool', state: 'output-available', output: 'It is blue.' }, { type: 'text', text: 'Blue it is' }])
    t.equal(chat.messages[1]!.parts.length, 3)
  })

  await t.test('asks after a reload, by the id of the chat, and gets what there is', async t => {
    const { reply, finish } = inTwo('Hel', 'lo')
    fromNow(gateway, reply)
    const wire: Wire = { url: a.url, visits: [] }
    const first = openWorkflow(loaded, wire, 'workflow', { id: 'reloaded' })
    const sent = first.send('Hi')
    await first.shows('Hel')
    await first.stop()
    await sent
    for (const initialStartIndex of [0, -2]) {
      const chat = openWorkflow(loaded, wire, 'workflow', { id: 'reloaded', messages: first.messages.slice(0, 1), initialStartIndex })
      const resuming = chat.resume()
      await chat.shows('Hel')
      if (initialStartIndex < 0) finish()
      else await chat.stop()
      await resuming
      if (initialStartIndex < 0) t.match([chat.status, chat.text], ['ready', 'Hello'], 'all of it, though it has asked for the last two pieces alone')
    }
    const nothing = openWorkflow(loaded, wire, 'workflow', { id: 'never heard of', messages: first.messages.slice(0, 1) })
    await nothing.resume()
    t.match([nothing.status, nothing.error, nothing.messages.length], ['ready', undefined, 1])
  })
})

t.test('a process that is killed in mid-answer', async t => {
  const loaded = await loadAiSdks(t)
  if (!loaded) return
  const { b, shared, gateway } = await setUp(t)
  const doomed = await startProcess(t, shared)
  fromNow(gateway, hang('Hel'), hang('Hel'), say('Goodbye'))
  const wires: Wire[] = [{ url: doomed.url, visits: [] }, { url: doomed.url, visits: [] }]
  const page = openDefault(loaded.newest, wires[0]!, 7, { id: 'killed' })
  const resuming = openWorkflow(loaded, wires[1]!)
  const [sent, resumed] = [page.send('Hi'), resuming.send('Hi')]
  await page.shows('Hel')
  await resuming.shows('Hel')
  for (const wire of wires) wire.url = b.url
  await doomed.kill()

  await t.test('is no answer to a page, which is told the right one when it asks again', async t => {
    await sent
    t.match([page.status, page.text], ['error', 'Hel'])
    await page.resume()
    t.match([page.status, page.text, page.messages.length], ['ready', 'Goodbye', 2])
  })

  await t.test('is gone on with by the transport that resumes by itself', async t => {
    await resumed
    t.match([resuming.status, resuming.text, resuming.error, resuming.messages.length], ['ready', 'Goodbye', undefined, 2])
  })
})

/** A process of its own, which can be killed. */
async function startProcess (t: Test, variables: Record<string, string>) {
  const child = launch(t, 'server.js', [], {
    NODE_ENV: 'test', HOST: '127.0.0.1', PORT: '0', SUPABASE_JWT_SECRET: JWT_SECRET, RAILWAY_BACKEND_SECRET: BACKEND_SECRET, LOVABLE_API_KEY: 'key', ...variables
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`it ended with ${code}`)))
    createInterface({ input: child.stdout! }).on('line', line => {
      const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
      if (url) resolve(url.replace('localhost', '127.0.0.1'))
    })
  })
  return {
    url,
    async kill () {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
  }
}
