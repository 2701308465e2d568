import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'
import t, { type Test } from 'tap'
import { type Page, servePage, startBrowser } from '../support/browser.js'
import { delta, ending, openStream, type Reply, say, startGateway } from '../support/doubles/gateway.js'
import { startService } from '../support/helper.js'
import { until } from '../support/until.js'
import { readDocument } from '../docs/markdown.js'
import { fetchForTest } from '../packages/fetch.js'

const [USE_CHAT, WORKFLOW] = readDocument('docs/how-to/use-ai-sdk.md').fences.filter(({ language }) => language === 'js').map(({ text }) => text)

/** A page of the document's examples, in one file. Its chat is the one that its address names. */
async function bundlePage (t: Test, modules: string, url: string, transport?: string): Promise<string> {
  const folder = t.testdir()
  await mkdir(folder, { recursive: true })
  await symlink(modules, join(folder, 'node_modules'))
  const chat = transport === undefined ? USE_CHAT! : USE_CHAT!.replace(/^const transport = [^]*?^\}\)$/m, 'import { transport } from \'./transport.js\'')
  await writeFile(join(folder, 'chat.js'), chat.replace('http://localhost:3000', url))
  if (transport !== undefined) await writeFile(join(folder, 'transport.js'), transport.replace('http://localhost:3000', url))
  await writeFile(join(folder, 'page.js'), `
    import { createElement } from 'react'
    import { createRoot } from 'react-dom/client'
    import { Chat } from './chat.js'
    createRoot(document.getElementById('root')).render(createElement(Chat, { id: location.hash.slice(1) || 'chat' }))
  `)
  const { outputFiles: [file] } = await build({
    entryPoints: [join(folder, 'page.js')], bundle: true, write: false, format: 'iife', platform: 'browser', minify: true, define: { 'process.env.NODE_ENV': '"production"' }, logLevel: 'error'
  })
  return `<!doctype html><meta charset="utf-8"><div id="root"></div><script>${file!.text.replaceAll('</script', '<\\/script')}</script>`
}

/** What a page shows: whether it waits, and the answer. */
async function shows (page: Page, status: string, text: string): Promise<void> {
  await page.waitForFunction(({ status, text }) => {
    const main = (globalThis as any).document.querySelector('main')
    return main?.dataset.status === status && [...main.querySelectorAll('.assistant')].map(({ textContent }) => textContent).join('|') === text
  }, { status, text })
}

const ask = (page: Page) => page.evaluate(() => (globalThis as any).document.querySelector('button').click(), undefined)
const lookAgain = (page: Page) => page.evaluate(() => { (globalThis as any).document.dispatchEvent(new Event('visibilitychange')) }, undefined)

function inPieces (): { reply: Reply, say: (text: string) => void, end: () => void, asked: Promise<void> } {
  let response: Parameters<Reply>[0]
  let arrive = () => {}
  const asked = new Promise<void>(resolve => { arrive = resolve })
  return {
    reply (answer) {
      response = openStream(answer)
      arrive()
    },
    say: text => response.write(delta(text)),
    end: () => response.end(ending()),
    asked
  }
}

t.test('a page with useChat in a real browser, of another origin', async t => {
  const open = await startBrowser(t)
  const directory = await fetchForTest(t, 'ai-sdk')
  if (!open || directory === undefined) return
  const modules = join(directory, 'node_modules')
  const gateway = await startGateway(t)
  const service = await startService(t, { CORS_ORIGINS: '*', SSE_MAX_SECONDS: '2' }, gateway.url)
  const address = await servePage(t, await bundlePage(t, modules, service.url))
  const page = await open()

  await t.test('shows an answer', async t => {
    gateway.reply = say('Grüße ', '🙂')
    await page.goto(`${address}#first`)
    await ask(page)
    await shows(page, 'ready', 'Grüße 🙂')
    t.pass('it is shown')
  })

  await t.test('goes on after a reload, and after its connection was cut, without a letter twice', async t => {
    const answer = inPieces()
    gateway.reply = answer.reply
    await page.goto(`${address}?again#second`)
    await ask(page)
    await answer.asked
    answer.say('One ')
    await shows(page, 'streaming', 'One ')
    await page.goto(`${address}?reloaded#second`)
    await shows(page, 'streaming', 'One ')
    answer.say('two ')
    await shows(page, 'error', 'One two ')
    t.pass('a connection that has lasted too long is no end of the answer')
    await lookAgain(page)
    await shows(page, 'streaming', 'One two ')
    answer.say('three')
    answer.end()
    await shows(page, 'ready', 'One two three')
    await page.goto(`${address}?once-more#second`)
    await shows(page, 'ready', 'One two three')
  })

  await t.test('goes on by itself with the transport for that', async t => {
    const answer = inPieces()
    gateway.reply = answer.reply
    const resuming = await servePage(t, await bundlePage(t, modules, service.url, WORKFLOW))
    await page.goto(`${resuming}#third`)
    // An unknown chat has nothing to go on with.
    await shows(page, 'ready', '')
    await ask(page)
    await answer.asked
    let asked = 0
    service.app.server.on('request', ({ method, url }) => { if (method === 'GET' && url?.includes('/stream?startIndex=')) asked++ })
    for (const [piece, text] of [['One ', 'One '], ['two ', 'One two '], ['three', 'One two three']] as const) {
      answer.say(piece)
      await shows(page, 'streaming', text)
      // Longer than a connection lasts.
      const before = asked
      await until(async () => asked, count => count > before, 60)
    }
    answer.end()
    await shows(page, 'ready', 'One two three')
    t.pass('it has asked again by itself')
  })
})
