import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { type Chat, loadAiSdk, type Message, openChat } from '../../faces/ai-sdk-client.js'
import { PATIENCE_MS, PAUSE_MS } from './broken.js'
import type { FaceClient, Question } from './faces.js'

/** How the package says that a stream was against its protocol; what it throws of a status alone is typed. */
const OF_PROTOCOL = /^(AI_(?!APICallError)|SyntaxError|ReferenceError|RangeError)/

/**
 * A page whose connection broke asks again: recent ones as they do when they are looked at, and of version 5, which append what they
 * are told once more, after a reload, without the answer that was not whole.
 * @param ui what the page says of its version.
 */
export async function loadDefault (directory: string, name: string, ui: number): Promise<FaceClient> {
  const sdk = await loadAiSdk(join(directory, 'node_modules'), name)
  return clientOf(async ({ agentId, ...question }) => {
    const transport = new sdk.DefaultChatTransport({ api: apiOf(question), headers: headersOf(question), body: { agentId, ui } })
    const open = (messages: Message[] = []) => openChat(sdk, { id: question.name, transport, messages })
    return read(open(), question.name, ui === 5 ? open : undefined)
  })
}

export async function loadWorkflow (directory: string): Promise<FaceClient> {
  const modules = join(directory, 'node_modules')
  const sdk = await loadAiSdk(modules, 'ai')
  const { WorkflowChatTransport } = await import(pathToFileURL(join(modules, '@ai-sdk/workflow/dist/client.js')).href)
  return clientOf(async ({ agentId, ...question }) => {
    const headers = headersOf(question)
    const transport = new WorkflowChatTransport({
      api: apiOf(question),
      prepareSendMessagesRequest: ({ id, messages }: any) => ({ headers, body: { id, messages, agentId, ui: 'workflow' } }),
      prepareReconnectToStreamRequest: ({ api }: any) => ({ api, headers })
    })
    return read(openChat(sdk, { id: question.name, transport }), question.name)
  })
}

const apiOf = ({ url }: Pick<Question, 'url'>) => `${url}/api/chat`
const headersOf = ({ token }: Pick<Question, 'token'>) => ({ authorization: `Bearer ${token}` })

function clientOf (ask: FaceClient['ask']): FaceClient {
  return { ask, isTyped: error => error instanceof Error && !OF_PROTOCOL.test(error.name) }
}

/**
 * What the page shows once it says that it is ready. @param reload opens it anew, where it cannot go on as it is.
 * @throws the error that it shows in the end, or that of a question that never arrived.
 */
async function read (chat: Chat, question: string, reload?: (messages: Message[]) => Chat): Promise<string> {
  const answer = () => chat.messages.find(({ role }) => role === 'assistant')
  await chat.send(question)
  const failure = chat.error
  for (const until = Date.now() + PATIENCE_MS; chat.status === 'error' && Date.now() < until;) {
    if (answer()?.metadata?.status === 'failed') break
    await delay(PAUSE_MS)
    if (reload) chat = reload(chat.messages.filter(({ role }) => role === 'user'))
    await chat.resume()
  }
  if (chat.status === 'error') throw chat.error
  if (!answer() && failure) throw failure
  return chat.text
}
