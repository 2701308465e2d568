import t from 'tap'
import { delta, ending, hang, openStream, type Reply, say } from '../support/doubles/gateway.js'
import { startService } from '../support/helper.js'
import { callTool, offerTool } from '../support/pair.js'
import { until } from '../support/until.js'
import { fromNow, loadAiSdks } from './ai-sdk-client.js'
import { inTwo, openWorkflow, setUp, type Wire } from './ai-sdk-wire.js'

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
      t.same([chat.status, chat.text, chat.error, chat.messages.length], ['ready', 'Hello', undefined, 2], String(ui))
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
    t.same([chat.status, chat.text], ['ready', 'One Two Three four'])
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
    t.same([chat.status, chat.text, chat.error, chat.messages.length], ['ready', 'Goodbye', undefined, 2])
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
    t.same([chat.status, chat.text, chat.error], ['ready', 'Let me see. Blue it is', undefined])
    t.match(chat.messages[1]!.parts, [{ type: 'text' }, { type: 'dynamic-tool', state: 'output-available', output: 'It is blue.' }, { type: 'text', text: 'Blue it is' }])
    t.equal(chat.messages[1]!.parts.length, 3)
  })

  await t.test('goes on where it had given up, when the page is looked at again, without a letter twice', async t => {
    const { reply, finish } = inTwo('Hel', 'lo')
    fromNow(gateway, reply)
    const wire: Wire = { url: a.url, visits: [] }
    const chat = openWorkflow(loaded, wire)
    const sent = chat.send('Hi')
    await chat.shows('Hel')
    // Nobody listens there.
    wire.url = 'http://127.0.0.1:1'
    a.app.server.closeAllConnections()
    await sent
    t.same([chat.status, chat.text], ['error', 'Hel'])
    wire.url = a.url
    finish()
    await chat.resume()
    t.same([chat.status, chat.text, chat.error, chat.messages.length], ['ready', 'Hello', undefined, 2])
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
    t.same([nothing.status, nothing.error, nothing.messages.length], ['ready', undefined, 1])
  })
})
