import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'
import { type GatewayDouble, inTurn, type Reply } from '../support/doubles/gateway.js'
import { until } from '../support/until.js'
import { all } from '../support/scope.js'
import { fetchForTest } from '../packages/fetch.js'

// What a page does with the AI SDK, without React: `useChat` is a shell of the package's AbstractChat.

export interface Part { type: string, text?: string, toolName?: string, toolCallId?: string, state?: string, input?: unknown, output?: unknown, errorText?: string, providerExecuted?: boolean }
export interface Message { id: string, role: string, parts: Part[], metadata?: any }

/** One version of the package `ai`. */
export interface AiSdk { name: string, version: string, AbstractChat: any, DefaultChatTransport: any, lastAssistantMessageIsCompleteWithToolCalls: any }

/** The versions that are promised, the oldest and the newest of each, or of all; undefined if they cannot be had. */
export async function loadAiSdks (t: Test): Promise<{ sdks: AiSdk[], newest: AiSdk, modules: string, WorkflowChatTransport: any, ofWorkflow: AiSdk } | undefined> {
  const directory = await fetchForTest(t, 'ai-sdk')
  if (directory === undefined) return undefined
  const modules = join(directory, 'node_modules')
  const sdks = await Promise.all(all(['ai-5-oldest', 'ai-5', 'ai-6-oldest', 'ai-6', 'ai-7-oldest', 'ai']).map(name => loadAiSdk(modules, name)))
  const { WorkflowChatTransport } = await import(pathToFileURL(join(modules, '@ai-sdk/workflow/dist/client.js')).href)
  return { sdks, newest: sdks.at(-1)!, modules, WorkflowChatTransport, ofWorkflow: await loadAiSdk(modules, '@ai-sdk/workflow/node_modules/ai') }
}

export async function loadAiSdk (modules: string, name: string): Promise<AiSdk> {
  const { version, exports } = JSON.parse(await readFile(join(modules, name, 'package.json'), 'utf8'))
  return { ...await import(pathToFileURL(join(modules, name, exports['.'].import)).href), name, version }
}

/** A page with a chat. */
export interface Chat {
  readonly messages: Message[]
  readonly status: string
  readonly error: Error | undefined
  /** What `onData` and `onFinish` were given, and the calls of tools that the page was to answer. */
  readonly data: any[]
  readonly ends: any[]
  readonly toolCalls: any[]
  /** The text that is shown of the last answer. */
  readonly text: string
  send (text: string): Promise<void>
  resume (): Promise<void>
  stop (): Promise<void>
  /** Waits until the page shows a text. */
  shows (text: string): Promise<void>
}

export interface ChatOptions { id?: string, messages?: Message[], transport: any, sendAutomaticallyWhen?: any }

export function openChat ({ AbstractChat }: AiSdk, { id = 'a-chat', messages = [], ...options }: ChatOptions): Chat {
  const state = {
    status: 'ready',
    error: undefined as Error | undefined,
    messages,
    pushMessage (message: Message) { state.messages = [...state.messages, message] },
    popMessage () { state.messages = state.messages.slice(0, -1) },
    replaceMessage (index: number, message: Message) { state.messages = state.messages.with(index, structuredClone(message)) },
    snapshot: <T>(value: T) => structuredClone(value)
  }
  const [data, ends, toolCalls]: any[][] = [[], [], []]
  const inner = new (pageOf(AbstractChat))({
    id, state, ...options, onData: (part: any) => data!.push(part), onFinish: (end: any) => ends!.push(end), onToolCall: ({ toolCall }: any) => { toolCalls!.push(toolCall) }
  })
  const chat: Chat = {
    get messages () { return state.messages },
    get status () { return state.status },
    get error () { return state.error },
    get text () { return textOf(state.messages.findLast(({ role }) => role === 'assistant')) },
    data: data!,
    ends: ends!,
    toolCalls: toolCalls!,
    send: text => inner.sendMessage({ text }),
    resume: () => inner.resumeStream(),
    stop: () => inner.stop(),
    async shows (text) { await until(async () => chat.text, shown => shown === text, 60) }
  }
  return chat
}

function textOf (message: Message | undefined): string {
  return (message?.parts ?? []).map(({ type, text }) => type === 'text' ? text : '').join('')
}

/** Answers the calls from now on in turn, the last of them from there on. */
export function fromNow (gateway: GatewayDouble, ...replies: Reply[]): void {
  const before = gateway.calls.length
  gateway.reply = (response, call, number) => inTurn(...replies)(response, call, number - before)
}

/** The class of a page's chat: the package's own is abstract. */
function pageOf (AbstractChat: new (init: object) => any) {
  return class extends AbstractChat {}
}
