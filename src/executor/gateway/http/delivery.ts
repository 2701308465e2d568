import { MAX_REDIRECTS, redirectOf, sayRedirect } from '#shared/http/redirect.ts'
import { BodyDecoder, codingOf } from './content-coding.js'
import type { Exchange, ResponseHandler } from './exchange.js'
import type { ResponseHead } from './response-head.js'
import type { ResponseReader } from './response-parser.js'

/** Sends a request on a connection of its own or one that is idle. */
export type Send = (url: URL, body: string, handler: ResponseHandler) => Exchange

/**
 * One request until its response: it is sent again where it is redirected, and a body that is encoded is decoded. Of any
 * other response the body goes to the handler itself.
 */
export class Delivery implements ResponseHandler {
  #exchange: Exchange
  #redirects = 0
  #decoder: BodyDecoder | undefined

  /** @param body is kept until the head of the response. */
  constructor (private url: URL, private body: string, private readonly handler: ResponseHandler, private readonly send: Send) {
    this.#exchange = send(url, body, this)
  }

  get isSent (): boolean { return this.#exchange.isSent }
  get progress (): number | undefined { return this.handler.progress }

  /** Closes the connection; the handler is not called again. Does nothing after the response has ended. */
  abort (): void {
    this.#decoder?.destroy()
    this.#exchange.abort()
  }

  onHead (head: ResponseHead): ResponseReader | void {
    const { status, headers } = head
    if (status >= 300 && status < 400) return this.#redirect(status, headers.location)
    this.body = ''
    const coding = codingOf(headers)
    this.handler.onHead(head)
    if (coding === undefined) return this.handler
    this.#decoder = new BodyDecoder(coding, this.handler, error => {
      this.#exchange.abort()
      this.handler.onError(error)
    })
    return this.#decoder
  }

  onBody (): void {}

  onReadsDone (): boolean {
    return this.#decoder === undefined && this.handler.onReadsDone()
  }

  onEnd (): void {
    if (this.#decoder) this.#decoder.end()
    else this.handler.onEnd()
  }

  onError (error: Error): void {
    if (this.#decoder) this.#decoder.end(error)
    else this.handler.onError(error)
  }

  /** @throws {Error} if the redirect is not followed. */
  #redirect (status: number, location: string | undefined): void {
    const to = this.#redirects++ < MAX_REDIRECTS ? redirectOf(this.url, status, location) : undefined
    if (!to) throw new Error(sayRedirect(this.url, status, location))
    // Its body says nothing, and is not waited for.
    this.#exchange.abort()
    this.url = to
    this.#exchange = this.send(to, this.body, this)
  }
}
