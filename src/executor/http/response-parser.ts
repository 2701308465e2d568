/** Who is told of a response as it arrives. */
export interface ResponseReader {
  onHead (head: ResponseHead): void
  /**
   * A part of the body.
   * @param bytes of a whole read of the socket; they hold until this returns, and something else after that.
   * @param text the same as Latin-1, a character a byte.
   * @param from where in both the part begins, and `to` where it ends.
   */
  onBody (bytes: Buffer, text: string, from: number, to: number): void
}

export interface ResponseHead {
  status: number
  /** By their names in small letters; those that came twice are joined by commas. */
  headers: Record<string, string>
}

/** What the other side sends is no HTTP/1.1. */
export class HttpParseError extends Error {}

const MAX_HEAD = 64 * 1024
const MAX_LINE = 4096
/** Digits of a chunk's size: beyond that it is no size that anybody sends. */
const MAX_SIZE_DIGITS = 8

/** What was sent just before the other side closes arrives too late. */
const IDLE_MARGIN_MS = 1_000

type Part = 'head' | 'length' | 'close' | 'size' | 'chunk' | 'chunk-end' | 'trailers' | 'done'

/** Reads one response of HTTP/1.1 (RFC 9112) to a request that has a body, wherever its bytes are cut. */
export class ResponseParser {
  #part: Part = 'head'
  /** What was read of a head or a line that is not complete. */
  #rest = ''
  /** Bytes of the body or the chunk that are still to come. */
  #left = 0
  #isPersistent = false
  #idleMs = Infinity

  constructor (private readonly reader: ResponseReader) {}

  get isDone (): boolean { return this.#part === 'done' }
  /** Whether the head was read. */
  get hasBegun (): boolean { return this.#part !== 'head' }
  /** Whether the connection may be used for another request, once this is done. */
  get isPersistent (): boolean { return this.#isPersistent }

  /** For how long the other side keeps the connection open, as far as it says so: what comes later than that is lost. */
  get idleMs (): number { return this.#idleMs }

  /**
   * Takes what one read of the socket brought.
   * @throws {HttpParseError}
   */
  push (bytes: Buffer): void {
    const text = bytes.toString('latin1')
    let at = 0
    while (at < text.length) {
      if (this.#part === 'done') throw new HttpParseError('there is more than was asked for')
      at = this.#step(bytes, text, at)
    }
  }

  /** The other side sends no more. Returns whether it may end so. */
  end (): boolean {
    if (this.#part === 'close') this.#part = 'done'
    return this.#part === 'done'
  }

  /** Reads something from `at` on, and returns where it ended. */
  #step (bytes: Buffer, text: string, at: number): number {
    switch (this.#part) {
      case 'head': return this.#readHead(text, at)
      case 'size': return this.#readSize(text, at)
      case 'chunk-end': return this.#readChunkEnd(text, at)
      case 'trailers': return this.#readTrailer(text, at)
      default: return this.#readBody(bytes, text, at)
    }
  }

  #readHead (text: string, at: number): number {
    const known = this.#rest.length
    const head = this.#rest + text.slice(at)
    const end = head.indexOf('\r\n\r\n', Math.max(0, known - 3))
    if (end === -1 ? head.length > MAX_HEAD : end > MAX_HEAD) throw new HttpParseError('the head is too long')
    this.#rest = end === -1 ? head : ''
    if (end === -1) return text.length
    this.#begin(head.slice(0, end))
    return at + end + 4 - known
  }

  #begin (text: string): void {
    const [first, ...lines] = text.split('\r\n')
    const [, minor, digits] = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/.exec(first!) ?? []
    if (minor === undefined) throw new HttpParseError('there is no status line')
    const status = Number(digits)
    const headers = readHeaders(lines)
    // What is said beforehand, and not the answer.
    if (status < 200) {
      if (status === 101) throw new HttpParseError('it speaks another protocol')
      return
    }
    this.#frame(status, headers, minor === '1')
    this.reader.onHead({ status, headers })
  }

  /** Where the body ends (RFC 9112, 6.3). */
  #frame (status: number, headers: ResponseHead['headers'], isCurrent: boolean): void {
    const { 'transfer-encoding': coding, 'content-length': length, connection = '', 'keep-alive': hint = '' } = headers
    const options = connection.toLowerCase()
    this.#isPersistent = isCurrent ? !options.includes('close') : options.includes('keep-alive')
    const seconds = /\btimeout=(\d+)/.exec(hint)?.[1]
    if (seconds !== undefined) this.#idleMs = Math.max(0, Number(seconds) * 1000 - IDLE_MARGIN_MS)
    if (status === 204 || status === 304) {
      this.#part = 'done'
    } else if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked') throw new HttpParseError('it has another transfer coding than chunked')
      // Both lengths together are an error, or an attack.
      if (length !== undefined) this.#isPersistent = false
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
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end)
    if (line === undefined) return text.length
    let size = 0
    let digits = 0
    for (; digits < line.length; digits++) {
      const digit = hexDigit(line.charCodeAt(digits))
      if (digit === -1) break
      size = size * 16 + digit
    }
    if (digits === 0 || digits > MAX_SIZE_DIGITS || !/^[ \t;\r]/.test(line.charAt(digits))) throw new HttpParseError('a chunk has no size')
    this.#left = size
    this.#part = size > 0 ? 'chunk' : 'trailers'
    return end + 1
  }

  #readChunkEnd (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end)
    if (line === undefined) return text.length
    if (line !== '\r') throw new HttpParseError('a chunk is longer than its size')
    this.#part = 'size'
    return end + 1
  }

  #readTrailer (text: string, at: number): number {
    const end = text.indexOf('\n', at)
    const line = this.#take(text, at, end)
    if (line === undefined) return text.length
    if (line === '\r') this.#part = 'done'
    return end + 1
  }

  /** A line without its LF, with its CR; undefined: it is not complete, and kept. */
  #take (text: string, at: number, end: number): string | undefined {
    const line = this.#rest + text.slice(at, end === -1 ? text.length : end)
    if (line.length > MAX_LINE) throw new HttpParseError('a line is too long')
    this.#rest = end === -1 ? line : ''
    if (end === -1) return undefined
    if (!line.endsWith('\r')) throw new HttpParseError('a line does not end as it should')
    return line
  }
}

function readHeaders (lines: string[]): ResponseHead['headers'] {
  const headers: ResponseHead['headers'] = Object.create(null)
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined) throw new HttpParseError('a header is none')
    const key = name.toLowerCase()
    const known = headers[key]
    // The same length twice is one length.
    if (known === undefined) headers[key] = value!
    else if (key !== 'content-length' || known !== value) headers[key] = `${known}, ${value}`
  }
  return headers
}

function hexDigit (code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}
