import { StringDecoder } from 'node:string_decoder'

/** In UTF-16 units. */
const MAX_EVENT_LENGTH = 16 * 1024 * 1024
const LF = 10
const LAST_ASCII = 127
const BYTE_ORDER_MARK = '\ufeff'

/** Receives the `data` of each event, its lines joined by LF. */
export interface DataReader { onData (data: string): void }

/**
 * Parses an event stream (WHATWG HTML 9.2) from any sequence of reads, which may split characters, line ends and events.
 * Lines end with LF, CR or CR LF. Fields other than `data` are ignored.
 */
export class SseParser {
  /** Created when a read first ends with a byte that is not ASCII, possibly within a character. */
  #decoder: StringDecoder | undefined
  /** The beginning of a line whose end was not read yet. */
  #rest = ''
  #data: string[] = []
  #length = 0
  /** The last character was a CR: a LF that follows belongs to the same line end. */
  #afterCr = false
  #lastByte = LF
  /** Nothing was read yet: a byte order mark at this position is skipped. */
  #isAtStart = true

  constructor (private readonly reader: DataReader) {}

  /** Whether the next byte begins an event. */
  get isBetweenEvents (): boolean {
    return this.#lastByte === LF && this.#data.length === 0 && this.#rest === ''
  }

  /** @throws {RangeError} if an event exceeds 16 Mi UTF-16 units. */
  push (bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#lastByte = bytes[bytes.length - 1]!
    this.#read(this.#decode(bytes))
  }

  #decode (bytes: Buffer): string {
    if (!this.#decoder && this.#lastByte <= LAST_ASCII) return bytes.toString()
    this.#decoder ??= new StringDecoder()
    return this.#decoder.write(bytes)
  }

  /**
   * The stream has ended. An event without its final blank line is dispatched nevertheless, because some servers omit it;
   * if the event was cut off, parsing its JSON fails.
   */
  end (): void {
    if (this.#decoder) this.#read(this.#decoder.end())
    if (this.#rest) this.#readLine(this.#rest)
    this.#rest = ''
    this.#dispatch()
  }

  #read (decoded: string): void {
    if (decoded === '') return
    const text = this.#isAtStart && decoded.startsWith(BYTE_ORDER_MARK) ? decoded.slice(1) : decoded
    this.#isAtStart = false
    const unread = this.#afterCr && text.startsWith('\n') ? text.slice(1) : text
    this.#afterCr = text.endsWith('\r')
    // Only the new text is searched, so a long line in many reads takes linear time.
    const start = unread.includes('\r') ? this.#readMixed(unread) : this.#readLines(unread)
    if (start < unread.length) this.#rest += unread.slice(start)
    this.#checkLength()
  }

  /** The usual case, lines that end with LF. Returns the index after the last complete line. */
  #readLines (text: string): number {
    let start = 0
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      this.#endLine(text.slice(start, end))
      start = end + 1
    }
    return start
  }

  #readMixed (text: string): number {
    let start = 0
    for (const { index, 0: terminator } of text.matchAll(/\r\n|\n|\r/g)) {
      this.#endLine(text.slice(start, index))
      start = index + terminator.length
    }
    return start
  }

  #endLine (last: string): void {
    const line = this.#rest === '' ? last : this.#rest + last
    this.#rest = ''
    this.#readLine(line)
  }

  #readLine (line: string): void {
    if (line === '') return this.#dispatch()
    if (!line.startsWith('data')) return
    if (line.length > 4 && line[4] !== ':') return
    const value = line.slice(line[5] === ' ' ? 6 : 5)
    this.#data.push(value)
    this.#length += value.length + 1
    this.#checkLength()
  }

  #checkLength (): void {
    if (this.#length + this.#rest.length > MAX_EVENT_LENGTH) throw new RangeError('An event of the stream is too long.')
  }

  #dispatch (): void {
    if (this.#data.length === 0) return
    const data = this.#data.length === 1 ? this.#data[0]! : this.#data.join('\n')
    this.#data = []
    this.#length = 0
    this.reader.onData(data)
  }
}
