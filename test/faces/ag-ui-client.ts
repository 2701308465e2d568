import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Test } from 'tap'
import { delta, ending, frame, hang, openStream, type Reply } from '../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY } from '../support/helper.js'
import { until } from '../support/until.js'
import { fetchForTest } from '../packages/fetch.js'

export interface Message { id: string, role: string, content?: any, toolCalls?: Array<{ id: string, function: { name: string, arguments: string } }>, toolCallId?: string }

/** One version of `@ag-ui/client`. */
export interface AgUiSdk { version: string, isOfVersion1: boolean, HttpAgent: any, AbstractAgent: any, from: (events: any[]) => unknown }

/** One version of what pages of CopilotKit are made with. */
export interface CopilotSdk { version: string, isOfToday: boolean, CopilotKitCore: any }

export interface Loaded { sdks: AgUiSdk[], newest: AgUiSdk, copilots: CopilotSdk[], /** Puts a module with all that it imports into one file. */ bundleProgram (text: string): Promise<string> }

/** The versions that are promised, the oldest and the newest; undefined if they cannot be had. */
export async function loadAgUi (t: Test): Promise<Loaded | undefined> {
  const directory = await fetchForTest(t, 'ag-ui')
  if (directory === undefined) return undefined
  const folder = t.testdir()
  await mkdir(folder, { recursive: true })
  const load = (name: string): Promise<any> => loadClientOf(directory, name, folder)
  const sdks = [await load('ag-ui-oldest'), await load('@ag-ui/client')]
  const bundleProgram = async (contents: string) => {
    const outfile = join(folder, 'program.mjs')
    await build({ stdin: { contents, resolveDir: directory }, outfile, bundle: true, format: 'esm', platform: 'node', logLevel: 'error' })
    return outfile
  }
  return { sdks, newest: sdks[1], bundleProgram, copilots: [{ ...await load('copilotkit-oldest'), isOfToday: false }, { ...await load('@copilotkit/core'), isOfToday: true }] }
}

/** A package and its version. @param folder where it is put into one file. */
export async function loadClientOf (directory: string, name: string, folder: string): Promise<any> {
  const { version } = JSON.parse(await readFile(join(directory, 'node_modules', name, 'package.json'), 'utf8'))
  return { ...await bundle(directory, name, join(folder, `${name.replaceAll('/', '-')}.cjs`)), version, isOfVersion1: !version.startsWith('0.') }
}

/** What CopilotKit wants of a page before it connects: without a window it takes itself for one that is rendered on a server. */
const WINDOW = "const window = Object.assign(Object.create(globalThis), { location: new URL('http://localhost/'), addEventListener () {}, removeEventListener () {} })"

/** A package and all that it uses in one file: some of it has TypeScript beside its JavaScript, which the tests' loader takes for it. */
async function bundle (directory: string, name: string, outfile: string): Promise<object> {
  const contents = `export * from '${name}'; export { from } from 'rxjs'`
  await build({ stdin: { contents, resolveDir: directory }, outfile, bundle: true, format: 'cjs', platform: 'node', banner: { js: WINDOW }, logLevel: 'error' })
  return createRequire(import.meta.url)(outfile)
}

export const KEY_HEADERS = { authorization: `Bearer ${DEMO_KEY}` }

/** How a run has ended for its client. */
export interface Outcome {
  /** Why the promise was rejected, if it was. */
  error?: any
  /** What `onRunErrorEvent` and `onRunFinishedEvent` were given. */
  failure?: any
  finish?: any
  events: any[]
}

/** A client with a thread. */
export interface Client {
  agent: any
  readonly messages: Message[]
  /** What is shown of the assistant. */
  readonly text: string
  /** Sends a text, if there is one, and runs the agent to its end. */
  run (text?: string, parameters?: object): Promise<Outcome>
  shows (text: string): Promise<void>
}

export function openClient ({ HttpAgent }: AgUiSdk, url: string, options: object = {}): Client {
  const agent = new HttpAgent({ url: `${url}/ag-ui/${DEMO_AGENT}`, headers: KEY_HEADERS, ...options })
  return {
    agent,
    get messages () { return agent.messages },
    get text () { return textOf(agent.messages) },
    async run (text, parameters = {}) {
      if (text !== undefined) agent.addMessage({ id: crypto.randomUUID(), role: 'user', content: text })
      return watch(subscriber => agent.runAgent(parameters, subscriber))
    },
    async shows (text) { await until(async () => textOf(agent.messages), shown => shown === text, 60) }
  }
}

/** Runs to the end, and tells how it was. */
async function watch (run: (subscriber: object) => Promise<unknown>): Promise<Outcome> {
  const outcome: Outcome = { events: [] }
  const subscriber = {
    onEvent: ({ event }: any) => { outcome.events.push(event) },
    onRunErrorEvent: ({ event }: any) => { outcome.failure = event },
    onRunFinishedEvent: ({ event }: any) => { outcome.finish = event }
  }
  await run(subscriber).catch(error => { outcome.error = error })
  return outcome
}

export function textOf (messages: readonly Message[]): string {
  return messages.map(({ role, content }) => role === 'assistant' ? content ?? '' : '').join('|').replace(/^\|+|\|+$/g, '').replace(/\|+/g, '|')
}

/** Says these pieces, and breaks off after they were read. */
export function breakOff (...pieces: string[]): Reply {
  return (response, call, number) => {
    hang(...pieces)(response, call, number)
    setTimeout(() => response.destroy(), 50)
  }
}

/** Thinks, says something, and calls a tool. */
export const callLookUp: Reply = response => {
  const call = { index: 0, id: 'c1', type: 'function', function: { name: 'look_up', arguments: '{"user_input":"blue"}' } }
  openStream(response).end(frame({ choices: [{ index: 0, delta: { reasoning_content: 'Hm.' } }] }) + delta('Let me see. ') +
    frame({ choices: [{ index: 0, delta: { tool_calls: [call] } }] }) + ending('tool_calls'))
}
