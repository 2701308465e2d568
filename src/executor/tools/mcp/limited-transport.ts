import type { JSONRPCMessage, StreamableHTTPClientTransport, Transport, TransportSendOptions } from '@modelcontextprotocol/client'
import { cleanResult, type Result } from './clean-result.js'

/** Milliseconds between two pings that are answered: each answer is a request of ours. */
const PING_INTERVAL = 1000
/** From this version on a server sends no requests, and so no pings. */
const FIRST_WITHOUT_REQUESTS = '2026-07-28'

/**
 * A transport that lets through what was asked for, and of that what is used. A server's own requests and notifications are
 * dropped, since the SDK would answer each request by a POST; but a ping a second is answered, by which servers see that a
 * session lives.
 */
export class LimitedTransport implements Transport {
  /** A request is cancelled by closing its response, where the protocol's version has it so. */
  readonly hasPerRequestStream = true
  onmessage?: Transport['onmessage']
  onclose?: () => void
  onerror?: (error: Error) => void
  #pingedAt = -Infinity
  #hasPings = true

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
      this.onmessage?.('result' in message ? { ...message, result: cleanResult(message.result as Result) } as JSONRPCMessage : message)
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
    this.#hasPings = version < FIRST_WITHOUT_REQUESTS
    this.inner.setProtocolVersion(version)
  }

  terminateSession (): Promise<void> {
    return this.inner.terminateSession()
  }

  #answerPing (id: string | number): void {
    const now = performance.now()
    if (!this.#hasPings || now - this.#pingedAt < PING_INTERVAL) return
    this.#pingedAt = now
    this.inner.send({ jsonrpc: '2.0', id, result: {} }).catch(() => {})
  }
}
