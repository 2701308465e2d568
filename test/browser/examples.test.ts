import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startCuttingProxy } from '../client/cutting-proxy.js'
import { readDocuments } from '../docs/markdown.js'
import { buildPrograms } from '../support/build.js'
import { startBrowser } from '../support/browser.js'
import { delta, ending, openStream } from '../support/doubles/gateway.js'
import { startService } from '../support/helper.js'

/** Serves a page, and the client beside it. */
async function servePage (t: Test, html: string): Promise<string> {
  const client = await readFile(join(await buildPrograms(), 'client.js'))
  const server = createServer(({ url }, response) => {
    if (url === '/client.js') response.writeHead(200, { 'content-type': 'text/javascript' }).end(client)
    else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

t.test('the pages of the documents, in a real browser', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const fences = readDocuments().flatMap(({ fences }) => fences).filter(({ language, words }) => language === 'html' && words[0] === 'browser')
  t.ok(fences.length >= 3)
  const service = await startService(t, { CORS_ORIGINS: '*' })
  const proxy = await startCuttingProxy(t, service.url)
  const page = await open()

  for (const { file, line, text } of fences) {
    await t.test(`the page in line ${line} of ${file} shows the answer, and goes on with it after its connection broke`, async t => {
      let finish = () => {}
      service.gateway.reply = response => {
        openStream(response).write(delta('Hello'))
        finish = () => { response.end(delta(' world') + ending()) }
      }
      const shows = (text: string) => page.waitForFunction(text => (globalThis as any).document.getElementById('answer')?.textContent === text, text)
      await page.goto(await servePage(t, text.replaceAll('http://localhost:3000', proxy.url).replaceAll('ws://localhost:3000', proxy.url.replace('http', 'ws'))))
      await shows('Hello')
      proxy.cut()
      finish()
      await shows('Hello world')
      t.pass('it is whole')
    })
  }
})
