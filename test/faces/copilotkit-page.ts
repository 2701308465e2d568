import { DEMO_AGENT, type Service } from '../support/helper.js'
import { until } from '../support/until.js'
import { type CopilotSdk, KEY_HEADERS, type Message, textOf } from './ag-ui-client.js'

/** A page of CopilotKit, without what it looks like. */
export interface Page {
  core: any
  agent: any
  errors: any[]
  readonly messages: Message[]
  readonly text: string
  /** Asks, and waits for the end. */
  ask (text: string): Promise<void>
  connect (): Promise<void>
  shows (text: string): Promise<void>
}

export async function openPage ({ CopilotKitCore }: CopilotSdk, { url }: Pick<Service, 'url'>, threadId: string, headers: Record<string, string> = KEY_HEADERS, options: object = {}): Promise<Page> {
  const core = new CopilotKitCore({ runtimeUrl: `${url}/copilotkit`, headers, ...options })
  const errors: any[] = []
  core.subscribe({ onError: ({ error, code }: any) => { errors.push({ error, code }) } })
  await until(async () => core.runtimeConnectionStatus, status => status === 'connected' || status === 'error')
  const agent = core.getAgent(DEMO_AGENT)
  if (agent) agent.threadId = threadId
  return {
    core,
    agent,
    errors,
    get messages () { return agent.messages },
    get text () { return textOf(agent.messages) },
    async ask (text) {
      agent.addMessage({ id: crypto.randomUUID(), role: 'user', content: text })
      await core.runAgent({ agent })
    },
    async connect () { await core.connectAgent({ agent }) },
    async shows (text) { await until(async () => textOf(agent.messages), shown => shown === text, 60) }
  }
}
