import { Readable } from 'node:stream'
import { Agent, type Dispatcher } from 'undici'
import { Deadline } from '../../../lib/deadline.js'
import { ToolError } from '../tool.js'
import { readAnswer } from './answer-body.js'
import { type ConnectorOptions, createConnector } from './connector.js'
import { explainFailure } from './failure.js'
import { firstHop, type Hop, isRedirect, nextHop } from './redirect.js'

const TOTAL_TIMEOUT = 30_000
const MAX_BYTES = 1024 * 1024
const MAX_REDIRECTS = 5
/** Bytes of a redirect's own body that are read for the sake of its connection. */
const MAX_DUMPED = 16_384

export interface OutboundRequest {
  url: string
  /** GET unless said otherwise. */
  method?: string
  headers?: Record<string, string>
  body?: string
  /** False: a redirect is the answer. Otherwise up to 5 are followed. */
  followRedirects?: boolean
  /** Milliseconds until the whole answer is there; 30,000 unless said otherwise. */
  timeout?: number
  /** How many bytes an answer may have, counted after decompression; 1 MiB unless said otherwise. */
  maxBytes?: number
}

export interface OutboundAnswer {
  status: number
  headers: Record<string, string>
  body: Buffer
  /** The host that was asked. */
  host: string
}

interface Opened extends Omit<OutboundAnswer, 'body'> {
  /** Must be read or destroyed, for the connection and the timer to be let go. */
  body: Readable
}

/**
 * HTTP to addresses that users chose. What is connected to is checked, not what is asked for: each connection, after
 * its name was looked up, so that neither a name nor a redirect nor a name that changes its mind leads inside.
 */
export class Outbound {
  #agent: Agent

  constructor (options: ConnectorOptions = {}) {
    this.#agent = new Agent({ connect: createConnector(options) })
  }

  /**
   * Sends a request and reads its answer, whatever its status.
   * @throws {ToolError} in words for the model; the signal's reason, when it is aborted.
   */
  async request (request: OutboundRequest, signal: AbortSignal): Promise<OutboundAnswer> {
    const { body, ...answer } = await this.#open(request, signal)
    const parts: Buffer[] = []
    for await (const part of body) parts.push(part)
    return { ...answer, body: Buffer.concat(parts) }
  }

  /** The same with an answer that is read while it arrives. @param onBroken hears of what breaks it off. */
  async stream (request: OutboundRequest, signal: AbortSignal, onBroken?: (error: ToolError) => void): Promise<Response> {
    const { status, headers, host, body } = await this.#open(request, signal)
    body.once('error', error => { if (error instanceof ToolError) onBroken?.(error) })
    // A Response insists that there is none then.
    const isEmpty = status === 204 || status === 205 || status === 304
    // The two declarations of web streams differ in what nobody uses.
    const content = isEmpty ? null : Readable.toWeb(body) as unknown as ConstructorParameters<typeof Response>[0]
    if (isEmpty) body.resume()
    try {
      return new Response(content, { status, headers })
    } catch {
      // Three digits are all that a connection asks of a status; a Response ends at 599.
      body.destroy()
      throw new ToolError(`${host} answered with status ${status}, which HTTP does not have.`)
    }
  }

  close (): Promise<void> {
    return this.#agent.destroy()
  }

  async #open (request: OutboundRequest, signal: AbortSignal): Promise<Opened> {
    const { timeout = TOTAL_TIMEOUT, maxBytes = MAX_BYTES, followRedirects = true } = request
    const first = firstHop(request)
    const host = first.url.hostname
    signal.throwIfAborted()
    const deadline = new Deadline(timeout, signal, new ToolError(`${host} did not answer in full within ${timeout / 1000} seconds.`))
    try {
      const { answer, hop } = await this.#follow(first, followRedirects ? MAX_REDIRECTS : 0, deadline)
      const { hostname } = hop.url
      const body = readAnswer(answer, { host: hostname, maxBytes, deadline })
      return { status: answer.statusCode, headers: flatten(answer.headers), host: hostname, body }
    } catch (error) {
      deadline.clear()
      throw error
    }
  }

  async #follow (first: Hop, redirects: number, deadline: Deadline): Promise<{ answer: Dispatcher.ResponseData, hop: Hop }> {
    for (let hop = first, count = 0; ; count++) {
      const answer = await this.#send(hop, count === 0 ? first.url.hostname : `What ${first.url.hostname} redirects to`, deadline)
      if (redirects === 0 || !isRedirect(answer)) return { answer, hop }
      await answer.body.dump({ limit: MAX_DUMPED, signal: deadline.signal })
      if (count === redirects) throw new ToolError(`${first.url.hostname} redirects more than ${redirects} times.`)
      hop = nextHop(hop, answer)
    }
  }

  async #send ({ url, method, headers, body }: Hop, host: string, deadline: Deadline): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: method as Dispatcher.HttpMethod,
        // There are APIs that refuse who does not say a name.
        headers: { 'user-agent': 'jeesi-railway-backend', ...headers, 'accept-encoding': 'gzip, deflate, br' },
        body,
        signal: deadline.signal
      })
    } catch (error) {
      throw explainFailure(error, host, deadline.signal)
    }
  }
}

function flatten (headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value ?? '']))
}
