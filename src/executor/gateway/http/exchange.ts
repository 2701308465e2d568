import type { ResponseReader } from './response-parser.js'

/** Who hears what becomes of a request. None of these is called before `post` has returned. */
export interface ResponseHandler extends ResponseReader {
  /**
   * All that one turn of the event loop brought was handed over.
   * @returns whether it told somebody of something: what follows that closely may wait a little.
   */
  onTurn (): boolean
  onEnd (): void
  /** There is no more to come; what came before was handed over. Also: one of the others has thrown this. */
  onError (error: Error): void
}

export class SilenceTimeoutError extends Error {
  override name = 'SilenceTimeoutError'
}

/** One request, until its answer has ended. */
export class Exchange {
  connection: { giveUp (exchange: Exchange): void } | undefined

  /** @param request it is kept until it is sent, and no longer. */
  constructor (public request: string, readonly handler: ResponseHandler) {}

  /** Nothing more is told of it. */
  abort (): void {
    this.connection!.giveUp(this)
  }
}
