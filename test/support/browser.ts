import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { fetchForTest } from '../packages/fetch.js'

/** A page in a real Chromium. */
export interface Page {
  goto (url: string): Promise<unknown>
  /** Runs a function in each document before anything of its own. */
  addInitScript (run: () => void): Promise<unknown>
  on (event: 'request', listener: (request: { url (): string }) => void): void
  /** Resolves once the page sends, or breaks off, a request that is looked for. */
  waitForEvent (event: 'request' | 'requestfailed', isIt: (request: { url (): string }) => boolean): Promise<unknown>
  /** Runs a function in the page. */
  evaluate<A, R> (run: (argument: A) => R, argument: A): Promise<Awaited<R>>
  reload (): Promise<unknown>
  /** Takes text fields, buttons and the like by what people call them; throws if it finds several. */
  getByLabel (text: string, options?: { exact?: boolean }): Locator
  getByRole (role: string, options?: { name?: string | RegExp, exact?: boolean }): Locator
  getByText (text: string | RegExp, options?: { exact?: boolean }): Locator
  locator (selector: string): Locator
  readonly keyboard: { press (key: string): Promise<unknown>, type (text: string): Promise<unknown> }
  setViewportSize (size: { width: number, height: number }): Promise<unknown>
  emulateMedia (media: { colorScheme: 'light' | 'dark' }): Promise<unknown>
  screenshot (options: { path?: string, fullPage?: boolean }): Promise<Buffer>
  addScriptTag (script: { content: string }): Promise<unknown>
  /** Answers requests in the place of who they are for. */
  route (url: RegExp, handler: (route: Route) => unknown): Promise<unknown>
  context (): { setOffline (isOffline: boolean): Promise<unknown> }
  close (): Promise<unknown>
  /** Waits in the page until a function says so. */
  waitForFunction<A> (run: (argument: A) => unknown, argument: A): Promise<unknown>
}

/** Something in a page that may not be there yet: who acts on it waits for it. */
export interface Locator {
  click (): Promise<unknown>
  fill (text: string): Promise<unknown>
  selectOption (value: string): Promise<unknown>
  waitFor (options?: { state?: 'visible' | 'hidden' | 'attached' }): Promise<unknown>
  textContent (): Promise<string | null>
  inputValue (): Promise<string>
  count (): Promise<number>
  focus (): Promise<unknown>
  first (): Locator
  filter (options: { hasText: string | RegExp }): Locator
  locator (selector: string): Locator
  getByRole (role: string, options?: { name?: string | RegExp, exact?: boolean }): Locator
  getByLabel (text: string, options?: { exact?: boolean }): Locator
}

/** A request that a test answers. */
export interface Route {
  request (): { url (): string, method (): string, headers (): Record<string, string>, postData (): string | null }
  fulfill (answer: { status?: number, contentType?: string, headers?: Record<string, string>, body?: string }): Promise<unknown>
  continue (): Promise<unknown>
  abort (): Promise<unknown>
}

interface Context { newPage (): Promise<Page>, setDefaultTimeout (ms: number): void, close (): Promise<void> }
interface Playwright { chromium: { launchPersistentContext (directory: string, options: object): Promise<Context> } }

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome']
/** Nothing but what the page asks for goes out. */
const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'
]
/** A busy machine takes its time to start a browser; and a killed service keeps its runs for its lease. */
const WAIT_MS = 120_000

/** Opens pages of a Chromium; undefined if there is none, which is said, and in CI is a failure. */
export async function startBrowser (t: Test): Promise<(() => Promise<Page>) | undefined> {
  const path = await fetchForTest(t, 'playwright-core')
  if (path === undefined) return undefined
  const executablePath = await findProgram()
  if (executablePath === undefined) {
    if (process.env.REQUIRE_SERVICES) throw new Error(`there is no Chromium: none of ${PROGRAMS.join(', ')} is in PATH`)
    t.comment('LEFT OUT: no Chromium on this machine; this test needs it (Debian: chromium)')
    return undefined
  }
  const { chromium } = createRequire(join(path, 'package.json'))('playwright-core') as Playwright
  const directory = await mkdtemp(join(tmpdir(), 'jeesi-browser-'))
  const context = await chromium.launchPersistentContext(directory, { executablePath, headless: true, args: ARGUMENTS, timeout: WAIT_MS })
  context.setDefaultTimeout(WAIT_MS)
  t.teardown(async () => {
    await context.close()
    await rm(directory, { recursive: true, force: true })
  })
  return () => context.newPage()
}

async function findProgram (): Promise<string | undefined> {
  for (const name of PROGRAMS) {
    const found = await promisify(execFile)('which', [name]).catch(() => undefined)
    if (found) return found.stdout.trim()
  }
}

/** Serves a page at an origin of its own, as the pages are in which widgets stand. */
export async function servePage (t: Test, html: string): Promise<string> {
  const server = createServer((_request, response) => { response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(html) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}
