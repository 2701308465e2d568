import { setTimeout as delay } from 'node:timers/promises'
import { isBroken, PATIENCE_MS, PAUSE_MS } from './broken.js'
import type { FaceClient, Question } from './faces.js'
import { loadOpenAI } from './openai.js'

const bodyOf = ({ agentId, name }: Question) => ({ model: agentId, input: name })

/** A response that has ended otherwise than well. */
class FailedResponse extends Error {
  constructor (readonly code: string, message: string) {
    super(message)
  }
}

export function loadWhole (directory: string): Promise<FaceClient> {
  return load(directory, async (client, question) => textOf(await client.responses.create(bodyOf(question))))
}

/** Reads on from the last number that has arrived, as docs/how-to/use-openai-packages.md says. */
export function loadStream (directory: string): Promise<FaceClient> {
  return load(directory, async (client, question) => {
    let id: string | undefined
    let last: number | undefined
    let response: any
    let stream = await client.responses.create({ ...bodyOf(question), background: true, stream: true })
    for (const until = Date.now() + PATIENCE_MS; ;) {
      try {
        for await (const event of stream) {
          id ??= event.response?.id
          last = event.sequence_number
          response = event.type === 'response.completed' || event.type === 'response.failed' ? event.response : undefined
        }
        if (response === undefined) throw new Error('the stream of a response has ended without the end of the response')
        return textOf(response)
      } catch (error) {
        if (id === undefined || !isTemporary(error) || Date.now() > until) throw error
        if ((error as { code?: string }).code === 'answer_changed') last = undefined
        await delay(PAUSE_MS)
        stream = await client.responses.retrieve(id, { stream: true, starting_after: last })
      }
    }
  })
}

/** The package's helper puts the response together, and begins anew where a connection broke. */
export function loadHelper (directory: string): Promise<FaceClient> {
  return load(directory, async (client, question) => {
    let id: string | undefined
    for (const until = Date.now() + PATIENCE_MS; ;) {
      try {
        const stream = id === undefined ? client.responses.stream(bodyOf(question)) : client.responses.stream({ response_id: id })
        stream.on('response.created', ({ response }: any) => { id = response.id })
        return textOf(await stream.finalResponse())
      } catch (error) {
        if (id === undefined || !isTemporary(error) || Date.now() > until) throw error
        await delay(PAUSE_MS)
      }
    }
  })
}

export function loadBackground (directory: string): Promise<FaceClient> {
  return load(directory, async (client, question) => {
    let response = await client.responses.create({ ...bodyOf(question), background: true })
    for (const until = Date.now() + PATIENCE_MS; ['queued', 'in_progress'].includes(response.status);) {
      if (Date.now() > until) throw new Error(`${response.id} is still ${response.status}`)
      await delay(PAUSE_MS)
      response = await client.responses.retrieve(response.id)
    }
    return textOf(response)
  })
}

async function load (...[directory, ask]: Parameters<typeof loadOpenAI>): Promise<FaceClient> {
  const client = await loadOpenAI(directory, ask)
  return { ...client, isTyped: error => error instanceof FailedResponse || client.isTyped(error) }
}

/** A connection that broke, or was ended before its run; and a text that is another one by now. */
function isTemporary (error: any): boolean {
  return isBroken(error) || ['connection_ended', 'answer_changed'].includes(error.code) || /^APIConnection/.test(error.constructor.name)
}

/** @throws {FailedResponse} if the response says of itself that it is not whole. */
function textOf ({ status, error, output }: any): string {
  if (status !== 'completed') throw new FailedResponse(error?.code ?? status, error?.message ?? `the response is ${status}`)
  return output.flatMap(({ content }: any) => content).map(({ text }: any) => text ?? '').join('')
}
