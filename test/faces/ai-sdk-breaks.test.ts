import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { hang, say } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, endOf, JWT_SECRET, startService } from '../support/helper.js'
import { launch } from '../support/process.js'
import { fromNow, loadAiSdks } from './ai-sdk-client.js'
import { inTwo, openDefault, openWorkflow, setUp, type Wire } from './ai-sdk-wire.js'

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
        t.same([chat.status, chat.text], ['error', 'half'])
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
      t.same([chat.status, chat.text], ['error', 'Hel'])
      if (hasEnded) finish()
      if (hasEnded) await endOf(a, chat.messages[1]!.id)
      const resuming = chat.resume()
      if (!hasEnded) finish()
      await resuming
      t.same([chat.status, chat.text, chat.messages.length], ['ready', 'Hello', 2])
    }
  })

  await t.test('leaves no half of an answer that seems to be all of it, if the run ends meanwhile', async t => {
    const { reply, finish } = inTwo('Hel', 'lo')
    fromNow(gateway, reply)
    const chat = openDefault(loaded.newest, { url: short.url, visits: [] }, undefined, { id: 'ended meanwhile' })
    await chat.send('Hi')
    t.same([chat.status, chat.text], ['error', 'Hel'])
    finish()
    await endOf(a, chat.messages[1]!.id)
    await chat.resume()
    t.same([chat.status, chat.text, chat.messages.length], ['ready', 'Hello', 2])
    const again = openDefault(loaded.newest, { url: a.url, visits: [] }, undefined, { id: 'ended meanwhile', messages: chat.messages })
    await again.resume()
    t.same([again.status, again.messages], ['ready', chat.messages], 'and what was told to its end is told no more')
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
    t.same([page.status, page.text], ['error', 'Hel'])
    await page.resume()
    t.same([page.status, page.text, page.messages.length], ['ready', 'Goodbye', 2])
  })

  await t.test('is gone on with by the transport that resumes by itself', async t => {
    await resumed
    t.same([resuming.status, resuming.text, resuming.error, resuming.messages.length], ['ready', 'Goodbye', undefined, 2])
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
