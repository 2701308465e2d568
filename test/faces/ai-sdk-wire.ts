import type { Test } from 'tap'
import { delta, ending, openStream, type Reply, startGateway } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT } from '../support/helper.js'
import { startTwo } from '../support/pair.js'
import { type AiSdk, type Chat, type ChatOptions, type loadAiSdks, openChat } from './ai-sdk-client.js'

export type Loaded = NonNullable<Awaited<ReturnType<typeof loadAiSdks>>>

/** What a page asked for, and from where. */
export interface Wire { url: string, visits: string[], cutAfter?: string }

/** Goes to whatever service there is now; a connection is cut behind a text, once. */
function fetchBy (wire: Wire, headers: Record<string, string>) {
  return async (address: string, init: any) => {
    const path = address.replace(/^https?:\/\/[^/]+/, '')
    wire.visits.push(`${init.method ?? 'GET'} ${path}`)
    const response = await fetch(wire.url + path, { ...init, headers: { ...init.headers, ...headers } })
    const { cutAfter } = wire
    if (cutAfter === undefined || !response.body) return response
    wire.cutAfter = undefined
    let seen = ''
    const cut = new TransformStream({
      transform (piece, controller) {
        seen += Buffer.from(piece)
        controller.enqueue(piece)
        // What was passed on is read before.
        if (seen.includes(cutAfter)) setTimeout(() => controller.error(new TypeError('network error')), 50)
      }
    })
    return new Response(response.body.pipeThrough(cut), response)
  }
}

/** Answers in two pieces, the second when it is told to. */
export function inTwo (first: string, second: string): { reply: Reply, finish: () => void, asked: Promise<void> } {
  let finish = () => {}
  let arrive = () => {}
  const asked = new Promise<void>(resolve => { arrive = resolve })
  const reply: Reply = response => {
    openStream(response).write(delta(first))
    finish = () => { response.end(delta(second) + ending()) }
    arrive()
  }
  return { reply, finish: () => finish(), asked }
}

const headers = await bearer()

export function openDefault (sdk: AiSdk, wire: Wire, ui?: number, options: Partial<ChatOptions> = {}): Chat {
  const transport = new sdk.DefaultChatTransport({ api: `${wire.url}/api/chat`, fetch: fetchBy(wire, headers), body: { agentId: DEMO_AGENT, ui } })
  return openChat(sdk, { transport, ...options })
}

export function openWorkflow ({ newest, WorkflowChatTransport }: Loaded, wire: Wire, ui: string | number | undefined = 'workflow', options: Partial<ChatOptions> & { initialStartIndex?: number } = {}): Chat {
  const { initialStartIndex, ...more } = options
  const transport = new WorkflowChatTransport({
    api: `${wire.url}/api/chat`,
    fetch: fetchBy(wire, headers),
    initialStartIndex,
    prepareSendMessagesRequest: ({ id, messages }: any) => ({ body: { id, messages, agentId: DEMO_AGENT, ui } })
  })
  return openChat(newest, { transport, ...more })
}

/** Two services, and the gateway of these and of all others beside them: whichever makes a run gets the next answer. */
export async function setUp (t: Test) {
  t.capture(console, 'error')
  const gateway = await startGateway(t)
  return { ...await startTwo(t, { MAX_CONNECTIONS_PER_USER: '1000', AI_GATEWAY_URL: gateway.url, KEEP_MESSAGES: 'true' }), gateway }
}
