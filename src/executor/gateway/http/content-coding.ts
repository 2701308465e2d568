import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib'
import type { ResponseHandler } from './exchange.js'
import { HttpParseError, type ResponseHead } from './response-head.js'
import type { ResponseReader } from './response-parser.js'

type Decoder = ReturnType<typeof createGunzip> | ReturnType<typeof createBrotliDecompress>

/** Bytes that may wait to be decoded. It is done in another thread, faster than any network brings them. */
const MAX_WAITING = 8 * 1024 * 1024
/** The low bits of the first byte of zlib's format; some servers send `deflate` without it. */
const ZLIB_METHOD = 8
// A body that was cut off is decoded as far as it came.
const GZIP = { finishFlush: constants.Z_SYNC_FLUSH }
const BROTLI = { finishFlush: constants.BROTLI_OPERATION_FLUSH }

/**
 * The coding of a body; undefined if it is sent as it is, as this client asks for.
 * @throws {HttpParseError} if it is none of gzip, deflate and br, or several.
 */
export function codingOf ({ 'content-encoding': header = '' }: ResponseHead['headers']): string | undefined {
  const coding = header.trim().toLowerCase()
  if (coding === '' || coding === 'identity') return undefined
  if (!['gzip', 'x-gzip', 'deflate', 'br'].includes(coding)) throw new HttpParseError(`The body has a content coding that is not read: ${coding.slice(0, 40)}`)
  return coding
}

/** Decodes a body while it arrives, and passes it on to the handler, with its end. */
export class BodyDecoder implements ResponseReader {
  #stream: Decoder | undefined
  #waiting = 0
  #isOver = false

  /** @param onFailure is called instead of the handler, once, if the body cannot be decoded or the handler throws. */
  constructor (private readonly coding: string, private readonly handler: ResponseHandler, private readonly onFailure: (error: Error) => void) {}

  /** The head has gone to the handler before. */
  onHead (): void {}

  onBody (bytes: Buffer, _text: string, from: number, to: number): void {
    if (this.#isOver) return
    const piece = Buffer.from(bytes.subarray(from, to))
    this.#stream ??= this.#open(piece[0]!)
    this.#waiting += piece.length
    if (this.#waiting > MAX_WAITING) return this.#fail(new HttpParseError('The body arrives faster than it can be decoded.'))
    this.#stream.write(piece, () => { this.#waiting -= piece.length })
  }

  /** The body has ended, or failed with an error, of which the handler learns after what arrived before. */
  end (error?: Error): void {
    const report = () => this.#finish(() => { if (error) this.handler.onError(error); else this.handler.onEnd() })
    // What is coded may have ended before the body has, which has some bytes more then.
    if (!this.#stream || this.#stream.readableEnded) return report()
    this.#stream.on('end', report).end()
  }

  /** Nothing more is passed on. */
  destroy (): void {
    this.#isOver = true
    this.#stream?.destroy()
  }

  #open (first: number): Decoder {
    const stream = this.coding === 'br'
      ? createBrotliDecompress(BROTLI)
      : this.coding !== 'deflate'
        ? createGunzip(GZIP)
        : (first & 0x0f) === ZLIB_METHOD ? createInflate(GZIP) : createInflateRaw(GZIP)
    return stream.on('data', piece => this.#pass(piece)).on('error', cause => this.#fail(new Error('The body cannot be decoded.', { cause })))
  }

  #pass (piece: Buffer): void {
    if (this.#isOver) return
    try {
      this.handler.onBody(piece, piece.toString('latin1'), 0, piece.length)
      this.handler.onReadsDone()
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #fail (error: Error): void {
    this.#finish(() => this.onFailure(error))
  }

  #finish (report: () => void): void {
    if (this.#isOver) return
    this.destroy()
    report()
  }
}
