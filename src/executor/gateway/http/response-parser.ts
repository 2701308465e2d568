import { allowsReuse, HttpParseError, parseHeaders, parseStatusLine, readIdleMs, type ResponseHead } from './response-head.js'

/** Who is told of a response as it arrives. */
export interface ResponseReader {
  onHead (head: ResponseHead): void
  /**
   * A part of the body.
   * @param bytes those of a read of the socket come first; they hold until this returns, and something else after that.
   * @param text the same as Latin-1, a character a byte.
   * @param from where in both the part begins, and `to` where it ends.
   */
  onBody (bytes: Buffer, text: string, from: number, to: number): void
}

/** Characters of all heads of an answer, of which interim ones have one too, and its trailers. */
const MAX_HEAD = 64 * 1024
/** Characters of a status line, and of a chunk's size with its extensions. */
const MAX_LINE = 4096
/** Digits of a chunk's size: beyond that it is no size that anybody sends. */
const MAX_SIZE_DIGITS = 8
const CR = 13
const LF = 10

const SIZE_LINE = /^([\da-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?$/i
/** What the first part of such a line looks like. */
const SIZE_BEGINNING = /^[\da-f]{1,8}(?:[ \t;]|\r?$)/i

type Part = 'status' | 'headers' | 'length' | 'close' | 'size' | 'chunk' | 'chunk-end' | 'trailers' | 'done'

/** Reads one response of HTTP/1.1 (RFC 9112) to a request that has a body, wherever its bytes are cut. */
export class ResponseParser {
  #part: Part = 'status'
  /** What was read of a line that is not complete. */
  #rest = ''
  /** Bytes of the body or the chunk that are still to come. */
  #left = 0
  /** Characters that heads and trailers may still have. */
  #room = MAX_HEAD
  #status = 0
  #isHttp11 = false
  #lines: string[] = []
  #isPersistent = false
  #idleMs = Infinity

  constructor (private readonly reader: ResponseReader) {}

  get isDone (): boolean { return this.#part === 'done' }
  /** Whether the connection may be used for another request, once this is done. */
  get isPersistent (): boolean { return this.#isPersistent }

  /** For how long the other side keeps the connection open, as far as it says so: what comes later than that is lost. */
  get idleMs (): number { return this.#idleMs }

  /**
   * Takes what one read of the socket brought. More than was asked for is not read: no other answer is to follow it.
   * @param length how many of the bytes those are.
   * @throws {HttpParseError}
   */
  push (bytes: Buffer, length = bytes.length): void {
    const text = bytes.toString('latin1', 0, length)
    let at = 0
    while (at < text.length) {
      if (this.#part === 'done') {
        this.#isPersistent = false
        return
      }
      at = this.#step(bytes, text, at)
    }
  }

  /** The other side sends no more. Returns whether it may end so. */
  end (): boolean {
    if (this.#part === 'close') this.#part = 'done'
    return this.#part === 'done'
  }

  /** Nobody wants the rest, be it of what is pushed this moment. */
  stop (): void {
    this.#part = 'done'
    this.#isPersistent = false
  }

  /** Reads something from `at` on, and returns where it ended. */
  #step (bytes: Buffer, text: string, at: number): number {
    switch (this.#part) {
      case 'status': return this.#readStatus(text, at)
      case 'headers': return this.#readHeader(text, at)
      case 'size': return this.#readSize(text, at)
      case 'chunk-end': return this.#readChunkEnd(text, at)
      case 'trailers': return this.#readTrailer(text, at)
      default: return this.#readBody(bytes, text, at)
    }
  }

  #readStatus (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end, MAX_LINE)
    if (line === undefined) {
      // What is something else may never send a LF.
      if (!'HTTP/1.'.startsWith(this.#rest.slice(0, 7))) throw new HttpParseError('there is no status line')
      return text.length
    }
    const { status, isHttp11 } = parseStatusLine(line)
    this.#spend(line)
    this.#status = status
    this.#isHttp11 = isHttp11
    this.#part = 'headers'
    return end + 1
  }

  #readHeader (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end, this.#room)
    if (line === undefined) return text.length
    this.#spend(line)
    if (line === '') this.#begin()
    else if (!/^[ \t]/.test(line)) this.#lines.push(line)
    else if (this.#lines.length > 0) this.#lines.push(`${this.#lines.pop()} ${line}`)
    else throw new HttpParseError('a header is none')
    return end + 1
  }

  /** The head is complete. */
  #begin (): void {
    const status = this.#status
    const headers = parseHeaders(this.#lines)
    this.#lines = []
    if (status === 101) throw new HttpParseError('it speaks another protocol')
    // What is said beforehand, and not the answer.
    if (status < 200) {
      this.#part = 'status'
      return
    }
    this.#frame(status, headers)
    this.reader.onHead({ status, headers })
  }

  /** Where the body ends (RFC 9112, 6.3). */
  #frame (status: number, headers: ResponseHead['headers']): void {
    const { 'transfer-encoding': coding, 'content-length': length } = headers
    this.#isPersistent = allowsReuse(headers, this.#isHttp11)
    this.#idleMs = readIdleMs(headers)
    if (status === 204 || status === 304) {
      this.#part = 'done'
    } else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked') throw new HttpParseError('it has another transfer coding than chunked')
      // Both lengths together are an error, or an attack, and HTTP/1.0 has no chunks.
      if (length !== undefined || !this.#isHttp11) this.#isPersistent = false
      this.#part = 'size'
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new HttpParseError('its length is no number')
      this.#left = Number(length)
      this.#part = this.#left > 0 ? 'length' : 'done'
    } else {
      this.#isPersistent = false
      this.#part = 'close'
    }
  }

  #readBody (bytes: Buffer, text: string, at: number): number {
    const to = this.#part === 'close' ? text.length : Math.min(text.length, at + this.#left)
    this.#left -= to - at
    if (this.#left <= 0 && this.#part === 'chunk') this.#part = 'chunk-end'
    else if (this.#left <= 0 && this.#part === 'length') this.#part = 'done'
    this.reader.onBody(bytes, text, at, to)
    return to
  }

  /** A chunk's size in hexadecimal digits, and extensions that nobody needs. */
  #readSize (text: string, at: number): number {
    if (this.#rest !== '') return this.#readSizeLine(text, at)
    // Nearly all come whole, and have no extensions.
    let size = 0
    let to = at
    for (let digit = hexDigit(text.charCodeAt(to)); digit !== -1 && to - at < MAX_SIZE_DIGITS; digit = hexDigit(text.charCodeAt(++to))) {
      size = size * 16 + digit
    }
    if (to === at || text.charCodeAt(to) !== CR || text.charCodeAt(to + 1) !== LF) return this.#readSizeLine(text, at)
    this.#part = size > 0 ? 'chunk' : 'trailers'
    this.#left = size
    return to + 2
  }

  #readSizeLine (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end, MAX_LINE)
    const digits = (line === undefined ? SIZE_BEGINNING.exec(this.#rest)?.[0] : SIZE_LINE.exec(line)?.[1])
    if (digits === undefined) throw new HttpParseError('a chunk has no size')
    if (line === undefined) return text.length
    this.#left = Number.parseInt(digits, 16)
    this.#part = this.#left > 0 ? 'chunk' : 'trailers'
    return end + 1
  }

  #readChunkEnd (text: string, at: number): number {
    const isHalf = this.#rest !== ''
    if (!isHalf && text.charCodeAt(at) === CR && text.charCodeAt(at + 1) === LF) {
      this.#part = 'size'
      return at + 2
    }
    if (text.charCodeAt(at) !== (isHalf ? LF : CR)) throw new HttpParseError('a chunk is longer than its size')
    this.#rest = isHalf ? '' : '\r'
    if (isHalf) this.#part = 'size'
    return at + 1
  }

  #readTrailer (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end, this.#room)
    if (line === undefined) return text.length
    this.#spend(line)
    if (line === '') this.#part = 'done'
    else parseHeaders([line])
    return end + 1
  }

  /** A line without its end, CR and LF; undefined: it is not complete, and kept. */
  #take (text: string, at: number, end: number, limit: number): string | undefined {
    const line = this.#rest + text.slice(at, end === -1 ? text.length : end)
    if (line.length > limit) throw new HttpParseError('a head or a line is too long')
    this.#rest = end === -1 ? line : ''
    if (end === -1) return undefined
    if (!line.endsWith('\r')) throw new HttpParseError('a line does not end as it should')
    return line.slice(0, -1)
  }

  /** Heads that go on and on would be read for ever. */
  #spend (line: string): void {
    this.#room -= line.length + 2
    if (this.#room < 0) throw new HttpParseError('a head or a line is too long')
  }
}

function hexDigit (code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
