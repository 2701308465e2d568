import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { MARK } from '#shared/reader/plain-text.ts'
import { type Page, servePage, startBrowser } from '../support/browser.js'
import { passTo, startBackendDouble } from '../support/doubles/backend.js'
import { delta, ending, hang, inTurn, openStream, refuse, type Reply, say, startGateway } from '../support/doubles/gateway.js'
import { findDeno, type Project, SERVICE_KEY, startBackend, startEdge, startProject } from '../support/edge.js'
import { BACKEND_SECRET, DEMO_AGENT, DEMO_KEY, JWT_SECRET, startService } from '../support/helper.js'
import { launch } from '../support/process.js'

const HTML = await readFile(new URL('widget.html', import.meta.url), 'utf8')
const CUT_OFF = 'The connection ended before the answer was complete. It is still being written: look again later.'

/** The widget of a page. */
class Widget {
  constructor (private readonly page: Page, private readonly apiUrl: string) {}

  /** Asks, and does not wait for the answer. */
  ask (): Promise<void> {
    return this.page.evaluate(options => { (globalThis as any).ask(options) }, { apiUrl: this.apiUrl, apiKey: DEMO_KEY, agentId: DEMO_AGENT, message: 'Hi' })
  }

  /** Waits until it shows a text. */
  async shows (text: string): Promise<void> {
    await this.page.waitForFunction(text => (globalThis as any).document.getElementById('answer').textContent === text, text)
  }

  /** What it shows in the end, and whether it takes that for an answer. */
  async end (): Promise<{ text: string, state: string, response: string | undefined }> {
    await this.page.waitForFunction(() => (globalThis as any).document.getElementById('answer').dataset.state !== 'asking', undefined)
    return this.page.evaluate(() => {
      const { textContent, dataset } = (globalThis as any).document.getElementById('answer')
      return { text: textContent, state: dataset.state, response: dataset.response }
    }, undefined)
  }
}

/** Says these pieces, and breaks off after they were read. */
function breakOff (...pieces: string[]): Reply {
  return (response, call, number) => {
    hang(...pieces)(response, call, number)
    setTimeout(() => response.destroy(), 50)
  }
}

t.test('a widget in a real browser, in a page of another origin', async t => {
  const open = await startBrowser(t)
  if (!open) return
  const pageUrl = await servePage(t, HTML)
  const openWidget = async (apiUrl: string) => {
    const page = await open()
    await page.goto(pageUrl)
    return new Widget(page, apiUrl)
  }

  t.test('calls the service', async t => {
    const variables = { CORS_ORIGINS: '*' }
    const service = await startService(t, variables)
    const { gateway } = service
    const widget = await openWidget(`${service.url}/api/agent/execute`)
    const answer = async (...replies: Reply[]) => {
      gateway.calls.length = 0
      gateway.reply = inTurn(...replies)
      await widget.ask()
      return widget.end()
    }

    t.test('and shows the answer', async t => {
      t.strictSame(await answer(say('Grüße ', '🙂')), { text: 'Grüße 🙂', state: 'over', response: 'Grüße 🙂' })
    })

    t.test('and shows no letter twice after the model broke off', async t => {
      t.match(await answer(breakOff('Hel', 'lo'), breakOff('Hello', ' wor'), say('Hello ', 'world')), { text: 'Hello world', state: 'over' })
    })

    t.test('and shows a mark where the model goes another way', async t => {
      t.match(await answer(breakOff('Yes'), say('No')), { text: `Yes${MARK}No`, state: 'over', response: 'No' })
    })

    t.test('and shows the sentence of a failure, before the first word and after', async t => {
      const sentence = /^[A-Z].*\.$/
      t.match(await answer(refuse(402)), { text: sentence, state: 'failed' })
      t.match(await answer(breakOff('half'), refuse(402)), { text: sentence, state: 'failed' })
    })

    t.test('and does not take a connection that is cut for the end of the answer', async t => {
      const short = await startService(t, { ...variables, SSE_MAX_SECONDS: '1' })
      short.gateway.reply = hang('half')
      const other = await openWidget(`${short.url}/api/agent/execute`)
      await other.ask()
      t.match(await other.end(), { text: CUT_OFF, state: 'failed' })
    })

    t.test('and does not take a deploy for it', async t => {
      gateway.reply = hang('half')
      await widget.ask()
      await widget.shows('half')
      await service.app.close()
      t.match(await widget.end(), { text: CUT_OFF, state: 'failed' })
    })
  })

  t.test('calls the edge function, which resumes behind it', async t => {
    const deno = await findDeno(t)
    if (!deno) return
    const project = await startProject(t)
    const survivor = await startBackend(t, project)
    const wire = await startBackendDouble(t, passTo(survivor.url))
    const edge = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: wire.url })
    const widget = await openWidget(edge.url)
    /** The first request goes to one service, and what comes later to the other. */
    const dieAfterFirst = (url: string) => {
      wire.visits = []
      wire.handler = (response, visit, number) => passTo(number === 1 ? url : survivor.url)(response, visit, number)
    }

    t.test('after the connection to the service has broken', async t => {
      let finish = () => {}
      survivor.gateway.reply = response => {
        openStream(response).write(delta('Hel'))
        finish = () => response.end(delta('lo') + ending())
      }
      const cut = passTo(survivor.url, (answer, response) => {
        answer.on('data', chunk => response.write(chunk, () => { if (String(chunk).includes('Hel')) response.destroy() }))
      })
      wire.handler = (response, visit, number) => (number === 1 ? cut : passTo(survivor.url))(response, visit, number)
      await widget.ask()
      await widget.shows('Hel')
      finish()
      t.match(await widget.end(), { text: 'Hello', state: 'over', response: 'Hello' })
    })

    t.test('after a deploy', async t => {
      const dying = await startBackend(t, project)
      dying.gateway.reply = hang('Hel')
      survivor.gateway.reply = say('Hello')
      dieAfterFirst(dying.url)
      await widget.ask()
      await widget.shows('Hel')
      await dying.app.close()
      t.match(await widget.end(), { text: 'Hello', state: 'over', response: 'Hello' })
    })

    t.test('after the service was killed, whatever the next one makes of it', async t => {
      for (const [again, expected] of [['Hello', 'Hello'], ['Goodbye', `Hel${MARK}Goodbye`]] as const) {
        const gateway = await startGateway(t, hang('Hel'))
        const dying = await startProcess(t, project, gateway.url)
        survivor.gateway.reply = say(again)
        dieAfterFirst(dying.url)
        await widget.ask()
        await widget.shows('Hel')
        dying.kill()
        t.match(await widget.end(), { text: expected, state: 'over', response: again })
      }
    })
  })
})

/** The service in a process of its own. */
async function startProcess (t: Test, project: Project, gatewayUrl: string): Promise<{ url: string, kill (): void }> {
  const child = launch(t, 'server.js', [], {
    PORT: '0',
    HOST: '127.0.0.1',
    SUPABASE_URL: project.url,
    SUPABASE_SERVICE_ROLE_KEY: SERVICE_KEY,
    SUPABASE_JWT_SECRET: JWT_SECRET,
    RAILWAY_BACKEND_SECRET: BACKEND_SECRET,
    AI_GATEWAY_URL: gatewayUrl,
    LOVABLE_API_KEY: 'test-gateway-key'
  })
  child.stderr!.resume()
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (url) return { url, kill: () => { child.kill('SIGKILL') } }
  }
  throw new Error('the service ended before it listened')
}
