import { build } from 'esbuild'
import t from 'tap'
import { type Page, servePage, startBrowser } from '../support/browser.js'
import { delta, ending, openStream, type Reply, say, startGateway } from '../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, startService } from '../support/helper.js'
import { fetchForTest } from '../packages/fetch.js'

/** A page with CopilotKit, without its components: it connects to the thread that its address names, and shows all messages. */
const PAGE = (url: string) => `
  import { CopilotKitCore } from '@copilotkit/core'
  const main = document.querySelector('main')
  const core = new CopilotKitCore({ runtimeUrl: '${url}/copilotkit', headers: { authorization: 'Bearer ${DEMO_KEY}' } })
  core.subscribe({ onError: ({ error }) => { main.dataset.error = error.message } })
  const show = agent => { main.textContent = agent.messages.map(({ role, content }) => role + ': ' + content).join(' | ') }
  const begin = async () => {
    const agent = core.getAgent('${DEMO_AGENT}')
    agent.threadId = location.hash.slice(1)
    agent.subscribe({ onMessagesChanged: () => show(agent) })
    window.ask = async text => {
      agent.addMessage({ id: crypto.randomUUID(), role: 'user', content: text })
      await core.runAgent({ agent })
      main.dataset.status = 'ended'
    }
    window.stop = () => core.stopAgent({ agent })
    main.dataset.status = 'ready'
    await core.connectAgent({ agent })
    main.dataset.status = 'connected'
  }
  const unsubscribe = core.subscribe({ onRuntimeConnectionStatusChanged: ({ status }) => { if (status === 'connected') begin() } })
`

/** @param status of the page; any, if none is named. */
const shows = (page: Page, text: string, status?: string) => page.waitForFunction(({ text, status }) => {
  const main = (globalThis as any).document.querySelector('main')
  return main?.textContent === text && (status === undefined || main.dataset.status === status)
}, { text, status })
const ask = (page: Page, text: string) => page.evaluate(text => { (globalThis as any).ask(text) }, text)
const errorOf = (page: Page) => page.evaluate(() => (globalThis as any).document.querySelector('main').dataset.error, undefined)

t.test('a page with CopilotKit in a real browser, of another origin', async t => {
  const open = await startBrowser(t)
  const directory = await fetchForTest(t, 'ag-ui')
  if (!open || directory === undefined) return
  const gateway = await startGateway(t)
  const serve = async (variables: Record<string, string> = {}): Promise<string> => {
    const { url } = await startService(t, { CORS_ORIGINS: '*', ...variables }, gateway.url)
    const { outputFiles: [file] } = await build({
      stdin: { contents: PAGE(url), resolveDir: directory }, bundle: true, write: false, format: 'iife', platform: 'browser', minify: true, define: { 'process.env.NODE_ENV': '"production"' }, logLevel: 'error'
    })
    return servePage(t, `<!doctype html><meta charset="utf-8"><main></main><script>${file!.text.replaceAll('</script', '<\\/script')}</script>`)
  }
  const address = await serve()
  const page = await open()

  await t.test('shows an answer, and all of the conversation after a reload', async t => {
    gateway.reply = say('Grüße ', '🙂')
    await page.goto(`${address}#first`)
    await shows(page, '', 'connected')
    await ask(page, 'Hi')
    await shows(page, 'user: Hi | assistant: Grüße 🙂', 'ended')
    await page.goto(`${address}?again#first`)
    await shows(page, 'user: Hi | assistant: Grüße 🙂', 'connected')
    t.equal(await errorOf(page), undefined)
  })

  await t.test('goes on after a reload in mid-answer', async t => {
    const asked = gateway.nextCall()
    let response: Parameters<Reply>[0]
    gateway.reply = answer => { response = openStream(answer) }
    await page.goto(`${address}?mid#second`)
    await shows(page, '', 'connected')
    await ask(page, 'Count')
    await asked
    response!.write(delta('One '))
    await shows(page, 'user: Count | assistant: One ')
    await page.goto(`${address}?reloaded#second`)
    await shows(page, 'user: Count | assistant: One ', 'ready')
    response!.end(delta('two') + ending())
    await shows(page, 'user: Count | assistant: One two', 'connected')
    t.equal(await errorOf(page), undefined)
  })

  await t.test('says that a connection has ended before the answer, and has all of it after a reload', async t => {
    const short = await serve({ SSE_MAX_SECONDS: '1' })
    let finish = () => {}
    gateway.reply = answer => {
      openStream(answer).write(delta('half '))
      finish = () => { answer.end(delta('and half') + ending()) }
    }
    await page.goto(`${short}#cut`)
    await shows(page, '', 'connected')
    await ask(page, 'Say it')
    await shows(page, 'user: Say it | assistant: half ', 'ended')
    t.match(await errorOf(page), /The connection ended before the answer was complete/)
    finish()
    // A run that goes on lasts longer than the connection; one that has ended is told at once.
    for (let reloads = 0; await page.evaluate(() => (globalThis as any).document.querySelector('main').textContent, undefined) !== 'user: Say it | assistant: half and half'; reloads++) {
      await page.goto(`${short}?${reloads}#cut`)
      await page.waitForFunction(() => (globalThis as any).document.querySelector('main')?.dataset.status === 'connected', undefined)
    }
    t.pass('the answer is whole')
  })

  await t.test('stops what it has asked for', async t => {
    const asked = gateway.nextCall()
    gateway.reply = response => { openStream(response).write(delta('For ever ')) }
    await page.goto(`${address}?stop#third`)
    await shows(page, '', 'connected')
    await ask(page, 'How long?')
    const { closed } = await asked
    await shows(page, 'user: How long? | assistant: For ever ')
    await page.evaluate(() => (globalThis as any).stop(), undefined)
    await shows(page, 'user: How long? | assistant: For ever ', 'ended')
    await closed
    t.equal(await errorOf(page), undefined)
  })
})
