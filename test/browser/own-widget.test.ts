import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { type CuttingProxy, startCuttingProxy } from '../client/cutting-proxy.js'
import { type Page, servePage, startBrowser } from '../support/browser.js'
import { delta, ending, hang, openStream, refuse, say, startGateway } from '../support/doubles/gateway.js'
import { bearer, createDataDir, DEMO_AGENT, DEMO_KEY, JWT_SECRET } from '../support/helper.js'
import { launch } from '../support/process.js'

/** A page whose policy allows the service and nothing else: no style, no script and no image of its own. */
const pageOf = (service: string) => `<!doctype html><meta charset="utf-8"><title>A page</title>
<meta http-equiv="content-security-policy" content="default-src 'none'; script-src ${service}; connect-src ${service}">
<body><div id="jeesi-agent"></div><script src="${service}/widget.js"></script>`

/** The service in a process of its own, as it is built: the widget is part of the build. */
async function startProcess (t: Test, dataDir: string, gatewayUrl: string): Promise<{ url: string, kill (): Promise<void> }> {
  const child = launch(t, 'server.js', [], {
    PORT: '0',
    HOST: '127.0.0.1',
    NODE_ENV: 'test',
    DATA_DIR: dataDir,
    SUPABASE_JWT_SECRET: JWT_SECRET,
    AI_GATEWAY_URL: gatewayUrl,
    CORS_ORIGINS: '*'
  })
  child.stderr!.resume()
  const exited = new Promise<void>(resolve => { child.once('exit', () => resolve()) })
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (!url) continue
    child.stdout!.resume()
    return { url, kill () { child.kill('SIGKILL'); return exited } }
  }
  throw new Error('the service has not started')
}

/** What stands in a widget, as a visitor sees it. */
class Widget {
  constructor (readonly page: Page, private readonly pageUrl: string, private readonly options: object) {}

  /** Loads the page, anew if it was there. */
  async load (): Promise<void> {
    await this.page.goto(this.pageUrl)
    await this.page.evaluate(options => {
      const world = globalThis as any
      world.violations = []
      world.document.addEventListener('securitypolicyviolation', ({ violatedDirective }: any) => world.violations.push(violatedDirective))
      world.JeesiWidget.init(options)
    }, this.options)
  }

  /** Asks, once a question can be asked. */
  async ask (question: string): Promise<void> {
    await this.page.waitForFunction(() => !(globalThis as any).document.getElementById('jeesi-agent').shadowRoot.querySelector('button').hidden, undefined)
    await this.page.evaluate(question => {
      const { shadowRoot } = (globalThis as any).document.getElementById('jeesi-agent')
      const input = shadowRoot.querySelector('textarea')
      input.value = question
      input.dispatchEvent(new (globalThis as any).KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
    }, question)
  }

  stop (): Promise<void> {
    return this.page.evaluate(() => {
      const { shadowRoot } = (globalThis as any).document.getElementById('jeesi-agent')
      shadowRoot.querySelectorAll('button')[1].click()
    }, undefined)
  }

  /** Waits until its log has these texts and no more. */
  async shows (...texts: string[]): Promise<void> {
    await this.page.waitForFunction(texts => {
      const { shadowRoot } = (globalThis as any).document.getElementById('jeesi-agent')
      const said = [...shadowRoot.querySelectorAll('.said')].filter(({ hidden }) => !hidden).map(({ textContent }) => textContent)
      return JSON.stringify(said) === texts
    }, JSON.stringify(texts))
  }

  /** Waits until it says what happens. */
  async tells (sentence: string): Promise<void> {
    await this.page.waitForFunction(sentence => {
      const { shadowRoot } = (globalThis as any).document.getElementById('jeesi-agent')
      const progress = shadowRoot.querySelector('.progress')
      return !progress.hidden && progress.textContent === sentence
    }, sentence)
  }
}

t.test('the widget of the service in a real browser, in a page of another origin with a strict policy', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const gateway = await startGateway(t)
  const dataDir = await createDataDir(t)
  let service = await startProcess(t, dataDir, gateway.url)
  const proxy: CuttingProxy = await startCuttingProxy(t, service.url)
  const apiUrl = `${proxy.url}/api/agent/execute`
  // Each at an origin of its own, and so with a memory of its own.
  const openWidget = async (options: object = {}, pageUrl?: string) => {
    const widget = new Widget(await open(), pageUrl ?? await servePage(t, pageOf(proxy.url)), { agentId: DEMO_AGENT, apiKey: DEMO_KEY, apiUrl, position: 'inline', ...options })
    await widget.load()
    return widget
  }
  t.beforeEach(() => { gateway.calls.length = 0 })

  t.test('shows an answer while it is written, and sends the conversation with the next question', async t => {
    const widget = await openWidget()
    let go = () => {}
    gateway.reply = async response => {
      openStream(response).write(delta('Grüße'))
      await new Promise<void>(resolve => { go = resolve })
      response.end(delta(' an alle 🙂') + ending())
    }
    await widget.ask('Hi')
    await widget.shows('Hi', 'Grüße')
    go()
    await widget.shows('Hi', 'Grüße an alle 🙂')
    gateway.reply = say('Again')
    await widget.ask('And?')
    await widget.shows('Hi', 'Grüße an alle 🙂', 'And?', 'Again')
    t.match(gateway.calls[1]!.body.messages.slice(-3), [
      { role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Grüße an alle 🙂' }, { role: 'user', content: 'And?' }
    ])
    await widget.load()
    await widget.shows('Hi', 'Grüße an alle 🙂', 'And?', 'Again')
  })

  t.test('makes no HTML of an answer, and needs nothing that the policy forbids', async t => {
    const widget = await openWidget({ theme: 'dark' })
    const hostile = '<img src=x onerror="globalThis.broken=1"><b>bold</b>'
    gateway.reply = say(hostile)
    await widget.ask('<script>globalThis.broken=1</script>')
    await widget.shows('<script>globalThis.broken=1</script>', hostile)
    t.strictSame(await widget.page.evaluate(() => {
      const world = globalThis as any
      const { shadowRoot } = world.document.getElementById('jeesi-agent')
      const { backgroundColor } = world.getComputedStyle(shadowRoot.querySelector('.panel'))
      return { broken: world.broken, images: shadowRoot.querySelectorAll('img, b').length, violations: world.violations, backgroundColor }
    }, undefined), { broken: undefined, images: 0, violations: [], backgroundColor: 'rgb(28, 28, 31)' })
  })

  t.test('goes on with an answer after a reload, and after its connection broke', async t => {
    const widget = await openWidget()
    let go = () => {}
    gateway.reply = async response => {
      openStream(response).write(delta('The answer'))
      await new Promise<void>(resolve => { go = resolve })
      response.end(delta(' is 42.') + ending())
    }
    await widget.ask('Hi')
    await widget.shows('Hi', 'The answer')
    await widget.load()
    await widget.shows('Hi', 'The answer')
    proxy.cut()
    go()
    await widget.shows('Hi', 'The answer is 42.')
    t.equal(gateway.calls.length, 1)
  })

  t.test('goes on with an answer after its process was killed', async () => {
    const widget = await openWidget()
    gateway.reply = hang('The answ')
    await widget.ask('Hi')
    await widget.shows('Hi', 'The answ')
    proxy.target = undefined
    await service.kill()
    gateway.reply = say('It is 42.')
    service = await startProcess(t, dataDir, gateway.url)
    proxy.target = service.url
    await widget.shows('Hi', 'It is 42.')
  })

  t.test('stops an answer, and keeps what was written', async () => {
    const widget = await openWidget()
    gateway.reply = hang('half')
    await widget.ask('Hi')
    await widget.shows('Hi', 'half')
    await widget.stop()
    await gateway.calls[0]!.closed
    await widget.shows('Hi', 'half')
    gateway.reply = say('whole')
    await widget.ask('Again')
    await widget.shows('Hi', 'half', 'Again', 'whole')
  })

  t.test('says what happens meanwhile, and shows an error in place of half an answer', async t => {
    const widget = await openWidget()
    gateway.reply = (response, call, number) => number === 1 ? refuse(503, 'later', { 'retry-after': '2' })(response, call, number) : hang('half')(response, call, number)
    await widget.ask('Hi')
    await widget.tells('Trying again …')
    await widget.shows('Hi', 'half')
    gateway.reply = refuse(402)
    const [, call] = gateway.calls
    t.ok(call)
    await widget.stop()
    await widget.shows('Hi', 'half')
    await widget.ask('Again')
    await widget.page.waitForFunction(() => (globalThis as any).document.getElementById('jeesi-agent').shadowRoot.querySelector('.said.failed') !== null, undefined)
  })

  t.test('reads its own runs by a publishable key, as the same visitor after a reload', async t => {
    const pageUrl = await servePage(t, pageOf(proxy.url))
    const made = await fetch(`${service.url}/api/keys`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...await bearer() },
      body: JSON.stringify({ name: 'page', publishable: true, agentIds: [DEMO_AGENT], origins: [new URL(pageUrl).origin] })
    })
    const { key } = await made.json() as { key: string }
    t.equal(made.status, 201)
    const widget = await openWidget({ apiKey: key }, pageUrl)
    let go = () => {}
    gateway.reply = async response => {
      openStream(response).write(delta('The answer'))
      await new Promise<void>(resolve => { go = resolve })
      response.end(delta(' is 42.') + ending())
    }
    await widget.ask('Hi')
    await widget.shows('Hi', 'The answer')
    await widget.load()
    await widget.shows('Hi', 'The answer')
    go()
    await widget.shows('Hi', 'The answer is 42.')
  })

  t.test('opens and closes by keyboard where it floats', async t => {
    const widget = await openWidget({ position: 'bottom-left' })
    const state = () => widget.page.evaluate(() => {
      const { shadowRoot, dataset } = (globalThis as any).document.getElementById('jeesi-agent')
      return { position: dataset.position, isOpen: !shadowRoot.querySelector('.panel').hidden, focus: shadowRoot.activeElement?.localName, expanded: shadowRoot.querySelector('.toggle').getAttribute('aria-expanded') }
    }, undefined)
    t.match(await state(), { position: 'bottom-left', isOpen: false, expanded: 'false' })
    await widget.page.evaluate(() => { (globalThis as any).document.getElementById('jeesi-agent').shadowRoot.querySelector('.toggle').click() }, undefined)
    t.match(await state(), { isOpen: true, focus: 'textarea', expanded: 'true' })
    await widget.page.evaluate(() => {
      const world = globalThis as any
      world.document.getElementById('jeesi-agent').shadowRoot.querySelector('textarea').dispatchEvent(new world.KeyboardEvent('keydown', { key: 'Escape', bubbles: true }))
    }, undefined)
    t.match(await state(), { isOpen: false, focus: 'button', expanded: 'false' })
  })
})
