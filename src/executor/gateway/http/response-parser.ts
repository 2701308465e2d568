import { allowsReuse, HttpParseError, parseHeaders, parseStatusLine, readIdleMs, type ResponseHead } from './response-head.js'

/** Receives a response while it is parsed. */
export interface ResponseReader {
  /** @returns who receives the body, if another. */
  onHead (head: ResponseHead): ResponseReader | void
  /**
   * Receives a part of the body, which is never empty.
   * @param bytes the block that the socket read into: valid only during this call.
   * @param text the same bytes decoded as Latin-1, one character per byte.
   * @param from the part's first index in both; `to` is the index after its last.
   */
  onBody (bytes: Buffer, text: string, from: number, to: number): void
}

/** The limit for the heads of a response, interim ones (1xx) included, and its trailers together, in bytes. */
const MAX_HEAD = 64 * 1024
/** The limit for a status line, and for a chunk's size with its extensions, in bytes. */
const MAX_LINE = 4096
/** The limit for the hexadecimal digits of a chunk's size: less than 4 GiB. */
const MAX_SIZE_DIGITS = 8
const CR = 13
const LF = 10

const SIZE_LINE = /^([\da-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?$/i
/** Matches an incomplete size line that may still become a valid one. */
const SIZE_BEGINNING = /^[\da-f]{1,8}(?:[ \t;]|\r?$)/i

type Part = 'status' | 'headers' | 'length' | 'close' | 'size' | 'chunk' | 'chunk-end' | 'trailers' | 'done'

/** Parses one HTTP/1.1 response (RFC 9112) to a POST request from any sequence of reads. */
export class ResponseParser {
  #part: Part = 'status'
  /** The beginning of a line whose end was not read yet. */
  #rest = ''
  /** The remaining bytes of the body, or of the chunk. */
  #left = 0
  /** The remaining bytes that heads and trailers may have. */
  #headBudget = MAX_HEAD
  #status = 0
  #isHttp11 = false
  #lines: string[] = []
  #isPersistent = false
  #idleMs = Infinity

  constructor (private reader: ResponseReader) {}

  get isDone (): boolean { return this.#part === 'done' }
  /** Whether the connection may carry another request after this response. */
  get isPersistent (): boolean { return this.#isPersistent }

  /** How many milliseconds the server keeps the connection open after this response; Infinity if it does not say. */
  get idleMs (): number { return this.#idleMs }

  /**
   * Parses the bytes of one read. Bytes after the end of the response are ignored, and make the connection unusable for
   * another request.
   * @param length the number of bytes that were read.
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

  /** The server closed its side of the connection. Returns whether the response is complete. */
  end (): boolean {
    if (this.#part === 'close') this.#part = 'done'
    return this.#part === 'done'
  }

  /** Ignores the rest of the response, including the rest of the read that is being parsed. */
  stop (): void {
    this.#part = 'done'
    this.#isPersistent = false
  }

  /** Parses one element from index `at` on, and returns the index after it. */
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
    const line = this.#takeLine(text, at, end, MAX_LINE)
    if (line === undefined) {
      // A server of another protocol may never send a LF.
      if (!'HTTP/1.'.startsWith(this.#rest.slice(0, 7))) throw new HttpParseError('The status line is malformed.')
      return text.length
    }
    const { status, isHttp11 } = parseStatusLine(line)
    this.#spendHeadBudget(line)
    this.#status = status
    this.#isHttp11 = isHttp11
    this.#part = 'headers'
    return end + 1
  }

  #readHeader (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#takeLine(text, at, end, this.#headBudget)
    if (line === undefined) return text.length
    this.#spendHeadBudget(line)
    if (line === '') this.#endHead()
    else if (!/^[ \t]/.test(line)) this.#lines.push(line)
    else if (this.#lines.length > 0) this.#lines.push(`${this.#lines.pop()} ${line}`)
    else throw new HttpParseError('A header is malformed.')
    return end + 1
  }

  #endHead (): void {
    const status = this.#status
    const headers = parseHeaders(this.#lines)
    this.#lines = []
    if (status === 101) throw new HttpParseError('The server switched to another protocol.')
    // The head of an interim response; the final one follows.
    if (status < 200) {
      this.#part = 'status'
      return
    }
    this.#chooseFraming(status, headers)
    this.reader = this.reader.onHead({ status, headers }) ?? this.reader
  }

  /** Determines how the body's end is found (RFC 9112, 6.3). */
  #chooseFraming (status: number, headers: ResponseHead['headers']): void {
    const { 'transfer-encoding': coding, 'content-length': length } = headers
    this.#isPersistent = allowsReuse(headers, this.#isHttp11)
    this.#idleMs = readIdleMs(headers)
    if (status === 204 || status === 304) {
      this.#part = 'done'
    } else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked') throw new HttpParseError('The transfer coding is not chunked.')
      // Chunks beside a length are an error or an attack, and HTTP/1.0 has no chunks.
      if (length !== undefined || !this.#isHttp11) this.#isPersistent = false
      this.#part = 'size'
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new HttpParseError('The content length is malformed.')
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

  /** Parses a chunk's size; its extensions are ignored. */
  #readSize (text: string, at: number): number {
    if (this.#rest !== '') return this.#readSizeLine(text, at)
    // The usual case, parsed without allocating: the line is complete and has no extensions.
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
    const line = this.#takeLine(text, at, end, MAX_LINE)
    const digits = (line === undefined ? SIZE_BEGINNING.exec(this.#rest)?.[0] : SIZE_LINE.exec(line)?.[1])
    if (digits === undefined) throw new HttpParseError('The size of a chunk is malformed.')
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
    if (text.charCodeAt(at) !== (isHalf ? LF : CR)) throw new HttpParseError('A chunk is longer than its size.')
    this.#rest = isHalf ? '' : '\r'
    if (isHalf) this.#part = 'size'
    return at + 1
  }

  #readTrailer (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#takeLine(text, at, end, this.#headBudget)
    if (line === undefined) return text.length
    this.#spendHeadBudget(line)
    if (line === '') this.#part = 'done'
    else parseHeaders([line])
    return end + 1
  }

  /** Returns a line without its CR LF; undefined if it is incomplete: then it is kept until the rest arrives. */
  #takeLine (text: string, at: number, end: number, limit: number): string | undefined {
    const line = this.#rest + text.slice(at, end === -1 ? text.length : end)
    if (line.length > limit) throw new HttpParseError('A head or a line is too long.')
    this.#rest = end === -1 ? line : ''
    if (end === -1) return undefined
    if (!line.endsWith('\r')) throw new HttpParseError('A line does not end with CR LF.')
    return line.slice(0, -1)
  }

  /** Limits all lines together: otherwise a server could send headers or interim heads without end. */
  #spendHeadBudget (line: string): void {
    this.#headBudget -= line.length + 2
    if (this.#headBudget < 0) throw new HttpParseError('A head or a line is too long.')
  }
}

function hexDigit (code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
