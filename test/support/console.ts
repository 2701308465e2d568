import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { Test } from 'tap'
import { fetchForTest } from '../packages/fetch.js'
import type { Page } from './browser.js'
import { createDataDir, JWT_SECRET } from './helper.js'
import { launch } from './process.js'

export interface BuiltService { url: string, dataDir: string, kill (): Promise<void> }

/** The service in a process of its own, as it is built: the console is part of the build. */
export async function startBuilt (t: Test, gatewayUrl: string, variables: Record<string, string> = {}): Promise<BuiltService> {
  const dataDir = variables.DATA_DIR ?? await createDataDir(t)
  const child = launch(t, 'server.js', [], {
    PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', DATA_DIR: dataDir, SUPABASE_JWT_SECRET: JWT_SECRET, AI_GATEWAY_URL: gatewayUrl, ...variables
  })
  child.stderr!.resume()
  const exited = new Promise<void>(resolve => { child.once('exit', () => resolve()) })
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (!url) continue
    child.stdout!.resume()
    return { url, dataDir, kill () { child.kill('SIGKILL'); return exited } }
  }
  throw new Error('the service has not started')
}

/** A page that notes what its policy forbids it and which errors nobody caught. */
export async function watchPage (page: Page): Promise<Page> {
  await page.addInitScript(() => {
    const world = globalThis as any
    world.violations = []
    world.document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }: any) => world.violations.push(`${violatedDirective} ${blockedURI}`))
    world.addEventListener('error', ({ message }: any) => world.violations.push(message))
  })
  return page
}

export function violationsOf (page: Page): Promise<string[]> {
  return page.evaluate(() => (globalThis as any).violations, undefined)
}

/** Opens the console as a demo user. */
export async function signIn (page: Page, url: string, email = 'demo@jeesi.local'): Promise<void> {
  await page.goto(`${url}/console`)
  await page.getByRole('button', { name: new RegExp(email) }).click()
  await page.getByLabel('Your message').waitFor()
}

/** Asks the agent that is chosen. */
export async function askIn (page: Page, question: string): Promise<void> {
  await page.getByLabel('Your message').fill(question)
  await page.getByRole('button', { name: 'Send' }).click()
}

/** Waits until a text stands on the page. @throws what stands there instead. */
export async function seesText (page: Page, text: string): Promise<void> {
  await page.waitForFunction(text => (globalThis as any).document.body.innerText.includes(text), text).catch(async error => {
    const seen = await page.evaluate(() => (globalThis as any).document.body.innerText, undefined)
    throw new Error(`there is no "${text}" on the page: ${seen}`, { cause: error })
  })
}

/** The text of axe-core; undefined if it cannot be had. */
export async function readAxe (t: Test): Promise<string | undefined> {
  const directory = await fetchForTest(t, 'axe-core')
  return directory && readFile(join(directory, 'node_modules/axe-core/axe.min.js'), 'utf8')
}

/** What axe finds in a page: each rule with the first elements that break it. @param axe as `readAxe` returns it. */
export async function findingsOf (page: Page, axe: string): Promise<string[]> {
  // As a string: what the page's own policy would refuse is run by the browser's debugger.
  if (!await page.evaluate(() => 'axe' in globalThis, undefined)) await page.evaluate(axe as never, undefined)
  return page.evaluate(async () => {
    const { violations } = await (globalThis as any).axe.run({ resultTypes: ['violations'] })
    return violations.map(({ id, nodes }: any) => `${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }: any) => `${html.slice(0, 160)} ${failureSummary.split('\n')[1] ?? ''}`).join(' | ')}`)
  }, undefined)
}
