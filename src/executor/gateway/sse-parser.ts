import { StringDecoder } from 'node:string_decoder'

const MAX_EVENT_LENGTH = 16 * 1024 * 1024
const LF = 10
const LAST_ASCII = 127
const BYTE_ORDER_MARK = '\ufeff'

/** Who is given the `data` of each event, its lines joined by LF. */
export interface DataReader { onData (data: string): void }

/**
 * Reads an event stream (WHATWG HTML 9.2) as its bytes arrive, wherever they are cut: lines end with LF, CR or
 * CRLF, a character may be split over reads, an event over many. Only `data` fields matter to this service.
 */
export class SseParser {
  /** There since a read first ended within a character, or might have. */
  #decoder: StringDecoder | undefined
  #rest = ''
  #data: string[] = []
  #length = 0
  /** The last character was a CR, so that a LF now belongs to it. */
  #afterCr = false
  #last = LF
  /** Nothing was read yet: a byte order mark may come, which is no part of the first line. */
  #isAtStart = true

  constructor (private readonly reader: DataReader) {}

  /** Whether the next byte begins an event. */
  get isBetweenEvents (): boolean {
    return this.#last === LF && this.#data.length === 0 && this.#rest === ''
  }

  /** @throws {RangeError} when a single event grows past 16 MiB. */
  push (bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#last = bytes[bytes.length - 1]!
    this.#read(this.#decode(bytes))
  }

  #decode (bytes: Buffer): string {
    if (!this.#decoder && this.#last <= LAST_ASCII) return bytes.toString()
    this.#decoder ??= new StringDecoder()
    return this.#decoder.write(bytes)
  }

  /** The stream ended. What lacks its blank line is given out all the same, for servers that forget it; half of a JSON fails where it is read. */
  end (): void {
    if (this.#decoder) this.#read(this.#decoder.end())
    if (this.#rest) this.#line(this.#rest)
    this.#rest = ''
    this.#dispatch()
  }

  #read (decoded: string): void {
    if (decoded === '') return
    const text = this.#isAtStart && decoded.startsWith(BYTE_ORDER_MARK) ? decoded.slice(1) : decoded
    this.#isAtStart = false
    const unread = this.#afterCr && text.startsWith('\n') ? text.slice(1) : text
    this.#afterCr = text.endsWith('\r')
    // Only what is new is searched: a long line that comes in many pieces is not read over and over.
    const start = unread.includes('\r') ? this.#readMixed(unread) : this.#readLines(unread)
    if (start < unread.length) this.#rest += unread.slice(start)
    this.#checkLength()
  }

  /** Lines that end with LF, as nearly all do. Returns where the last one ended. */
  #readLines (text: string): number {
    let start = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      this.#end(text.slice(start, end))
      start = end + 1
    }
    return start
  }

  #readMixed (text: string): number {
    let start = 0
    for (const { index, 0: terminator } of text.matchAll(/\r\n|\n|\r/g)) {
      this.#end(text.slice(start, index))
      start = index + terminator.length
    }
    return start
  }

  /** The end of a line. */
  #end (last: string): void {
    const line = this.#rest === '' ? last : this.#rest + last
    this.#rest = ''
    this.#line(line)
  }

  #line (line: string): void {
    if (line === '') return this.#dispatch()
    if (!line.startsWith('data')) return
    if (line.length > 4 && line[4] !== ':') return
    const value = line.slice(line[5] === ' ' ? 6 : 5)
    this.#data.push(value)
    this.#length += value.length + 1
    this.#checkLength()
  }

  #checkLength (): void {
    if (this.#length + this.#rest.length > MAX_EVENT_LENGTH) throw new RangeError('an event of the stream is too long')
  }

  #dispatch (): void {
    if (this.#data.length === 0) return
    const data = this.#data.length === 1 ? this.#data[0]! : this.#data.join('\n')
    this.#data = []
    this.#length = 0
    this.reader.onData(data)
  }
}
