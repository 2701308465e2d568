import type { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport, TransportSendOptions } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { JSONRPCMessage, JSONRPCResultResponse } from '@modelcontextprotocol/sdk/types.js'

/** Milliseconds between two pings that are answered: each answer is a request of ours. */
const PING_INTERVAL = 1000
/** How many items of a result are looked at: tools of a page, or parts of what a tool returns. */
const MAX_ITEMS = 200

/**
 * A transport that lets through what was asked for. A server's own requests and notifications are dropped, since the SDK
 * would answer each request by a POST; but a ping a second is answered, by which servers see that a session lives.
 */
export class LimitedTransport implements Transport {
  onmessage?: Transport['onmessage']
  onclose?: () => void
  onerror?: (error: Error) => void
  #pingedAt = -Infinity

  constructor (private readonly inner: StreamableHTTPClientTransport) {
    inner.onmessage = (message: JSONRPCMessage) => this.receive(message)
    inner.onclose = () => this.onclose?.()
    inner.onerror = error => this.onerror?.(error)
  }

  get sessionId (): string | undefined { return this.inner.sessionId }

  /** Takes a message of the server, or one in its place. */
  receive (message: JSONRPCMessage): void {
    if ('method' in message) {
      if ('id' in message && message.method === 'ping') this.#answerPing(message.id)
    } else {
      this.onmessage?.('result' in message ? limitItems(message) : message)
    }
  }

  start (): Promise<void> {
    return this.inner.start()
  }

  send (message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    return this.inner.send(message, options)
  }

  close (): Promise<void> {
    return this.inner.close()
  }

  setProtocolVersion (version: string): void {
    this.inner.setProtocolVersion(version)
  }

  terminateSession (): Promise<void> {
    return this.inner.terminateSession()
  }

  #answerPing (id: string | number): void {
    const now = performance.now()
    if (now - this.#pingedAt < PING_INTERVAL) return
    this.#pingedAt = now
    this.inner.send({ jsonrpc: '2.0', id, result: {} }).catch(() => {})
  }
}

/** The SDK validates each item, which takes many times as long as to parse it. */
function limitItems (response: JSONRPCResultResponse): JSONRPCResultResponse {
  const { result } = response
  const lists = ['tools', 'content'].filter(name => Array.isArray(result[name]) && result[name].length > MAX_ITEMS)
  if (lists.length === 0) return response
  return { ...response, result: { ...result, ...Object.fromEntries(lists.map(name => [name, (result[name] as unknown[]).slice(0, MAX_ITEMS)])) } }
}
