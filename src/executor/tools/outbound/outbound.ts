import type { Readable } from 'node:stream'
import { Agent, type Dispatcher } from 'undici'
import { type TraceContext, traceHeaders } from '#shared/traces/trace-context.ts'
import { Deadline } from '../../../lib/deadline.js'
import { ToolError } from '../tool.js'
import { type ConnectorOptions, createConnector } from './connector.js'
import { explainFailure } from './failure.js'
import { firstHop, type Hop, isRedirect, nextHop } from './redirect.js'
import { Permits, type RequestOwner } from './permits.js'
import { readBody } from './response-body.js'
import { toWebStream } from './web-stream.js'

const TOTAL_TIMEOUT = 30_000
const MAX_BYTES = 1024 * 1024
const MAX_REDIRECTS = 5
/** How many milliseconds an idle connection is kept at most, whatever its server asks for. */
const IDLE_TIMEOUT = 30_000
/** Bytes that are read of a redirect's body so that its connection can be reused. */
const MAX_DUMPED = 16_384

/** Requests under way at a time; each has a socket. */
const MAX_REQUESTS = { all: 512, user: 64, run: 32 }
const MAX_SOCKETS_OF_ORIGIN = 64
/** How many open sockets there may be before those of finished requests are no longer kept. */
const MAX_KEPT_SOCKETS = 128

export interface OutboundRequest {
  url: string
  /** Whose request it is; requests without one count as those of one user. */
  owner?: RequestOwner
  /** By default GET. */
  method?: string
  headers?: Record<string, string>
  body?: string
  /** The trace that the request hands on, unless its headers have another. */
  trace?: TraceContext
  /** By default up to 5 redirects are followed; if false, a redirect is the response. */
  followRedirects?: boolean
  /** Milliseconds for the whole response; by default 30,000. */
  timeout?: number
  /** The limit of the body, in bytes after decompression; by default 1 MiB. */
  maxBytes?: number
}

export interface OutboundResponse {
  status: number
  headers: Record<string, string>
  body: Buffer
  /** The host of the first request. */
  host: string
}

interface OpenResponse extends Omit<OutboundResponse, 'body'> {
  /** Must be read or destroyed: that closes the connection and clears the deadline. */
  body: Readable
}

/** What all hops of a request share. */
interface Sending { redirects: number, userId: string, deadline: Deadline }

/**
 * An HTTP client for URLs that users choose. It checks the address of each connection after the lookup rather than the
 * URL, so that neither a name, nor a redirect, nor a name that changes its address leads into a private network.
 */
export class Outbound {
  readonly #agent: Agent
  readonly #permits = new Permits(MAX_REQUESTS)
  #sockets = 0
  /** The user whose request is being dispatched: a connection that it needs is opened within that call. */
  #dispatching = ''

  constructor (options: ConnectorOptions = {}) {
    const connect = createConnector(options, {
      userId: () => this.#dispatching,
      onOpen: socket => {
        this.#sockets++
        socket.once('close', () => { this.#sockets-- })
      }
    })
    this.#agent = new Agent({ connect, connections: MAX_SOCKETS_OF_ORIGIN, keepAliveMaxTimeout: IDLE_TIMEOUT })
  }

  /** How many sockets are open. */
  get sockets (): number { return this.#sockets }

  /**
   * Sends a request and reads the response, whatever its status.
   * @throws {ToolError} with a sentence for the model; the signal's reason once it is aborted.
   */
  async request (request: OutboundRequest, signal: AbortSignal): Promise<OutboundResponse> {
    const { body, ...head } = await this.#open(request, signal)
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(chunk)
    return { ...head, body: Buffer.concat(chunks) }
  }

  /**
   * Sends a request; the body of the response is read while it arrives.
   * @param onBroken is called with the error that ends the body early.
   * @throws {ToolError} with a sentence for the model; the signal's reason once it is aborted.
   */
  async stream (request: OutboundRequest, signal: AbortSignal, onBroken?: (error: ToolError) => void): Promise<Response> {
    const { status, headers, host, body } = await this.#open(request, signal)
    body.once('error', error => { if (error instanceof ToolError) onBroken?.(error) })
    // A Response with such a status refuses a body.
    const isEmpty = status === 204 || status === 205 || status === 304
    const content = isEmpty ? null : toWebStream(body)
    if (isEmpty) body.resume()
    try {
      return new Response(content, { status, headers })
    } catch {
      // HTTP clients accept any status of three digits; a Response refuses those above 599.
      body.destroy()
      throw new ToolError(`${host} answered with status ${status}, which HTTP does not have.`)
    }
  }

  close (): Promise<void> {
    return this.#agent.destroy()
  }

  async #open (request: OutboundRequest, signal: AbortSignal): Promise<OpenResponse> {
    const { timeout = TOTAL_TIMEOUT, maxBytes = MAX_BYTES, followRedirects = true, owner = { userId: '' } } = request
    const first = firstHop(request.trace ? { ...request, headers: { ...traceHeaders(request.trace), ...request.headers } } : request)
    const host = first.url.hostname
    signal.throwIfAborted()
    const deadline = new Deadline(timeout, signal, new ToolError(`${host} did not answer in full within ${timeout / 1000} seconds.`))
    let release = () => {}
    try {
      release = await this.#permits.acquire(owner, deadline.signal)
      const { answer, hop } = await this.#follow(first, { redirects: followRedirects ? MAX_REDIRECTS : 0, userId: owner.userId, deadline })
      const { hostname } = hop.url
      const body = readBody(answer, { host: hostname, maxBytes, deadline }).once('close', release)
      return { status: answer.statusCode, headers: flatten(answer.headers), host: hostname, body }
    } catch (error) {
      deadline.clear()
      release()
      throw error
    }
  }

  async #follow (first: Hop, sending: Sending): Promise<{ answer: Dispatcher.ResponseData, hop: Hop }> {
    const { redirects, deadline } = sending
    for (let hop = first, count = 0; ; count++) {
      const answer = await this.#send(hop, count === 0 ? first.url.hostname : `What ${first.url.hostname} redirects to`, sending)
      if (redirects === 0 || !isRedirect(answer)) return { answer, hop }
      await answer.body.dump({ limit: MAX_DUMPED, signal: deadline.signal })
      if (count === redirects) throw new ToolError(`${first.url.hostname} redirects more than ${redirects} times.`)
      hop = nextHop(hop, answer)
    }
  }

  async #send ({ url, method, headers, body }: Hop, host: string, { userId, deadline }: Sending): Promise<Dispatcher.ResponseData> {
    try {
      this.#dispatching = userId
      return await this.#agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: method as Dispatcher.HttpMethod,
        // Some APIs refuse requests without a user agent.
        headers: { 'user-agent': 'jeesi-railway-backend', ...headers, 'accept-encoding': 'gzip, deflate, br' },
        body,
        reset: this.#sockets > MAX_KEPT_SOCKETS,
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
