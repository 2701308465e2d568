import { errorOfPage, formOf, JsonDocuments } from '#shared/gateway/answer-form.ts'
import { type DataReader, SseParser } from './sse-parser.js'

/** Reads the body of a completion. */
export interface AnswerParser {
  /** Whether the next byte begins an event. */
  readonly isBetweenEvents: boolean
  /** How many reads had something of a body from which nothing can be read before its end. */
  readonly pieces?: number
  /** @throws {Error} if the body is malformed or too long. */
  push (bytes: Buffer): void
  end (): void
}

/** Receives the `data` of events or the lines of ndjson; or a document that is the whole body. */
export interface AnswerReader extends DataReader {
  onDocument (json: string): void
}

/** Bytes of white space before an answer. */
const MAX_BLANK = 64 * 1024
/** Bytes of a page for people. */
const MAX_PAGE = 64 * 1024
const SPACE = 32
const LAST_ASCII = 127

/** A body whose form is not known yet. Its first bytes say what it is, since its content type often does not. */
export class UnknownBody implements AnswerParser {
  readonly isBetweenEvents = false
  #blank: Buffer | undefined

  /** @param become takes the parser of the form, which reads the body from its first byte on. */
  constructor (private readonly reader: AnswerReader, private readonly become: (parser: AnswerParser) => void) {}

  push (bytes: Buffer): void {
    const all = this.#blank ? Buffer.concat([this.#blank, bytes]) : bytes
    const form = formOf(beginningOf(all)) ?? (all.length > MAX_BLANK ? 'events' : undefined)
    if (!form) {
      this.#blank = Buffer.from(all)
      return
    }
    const parser = form === 'events' ? new SseParser(this.reader) : form === 'json' ? new JsonBody(this.reader) : new Page()
    this.become(parser)
    parser.push(all)
  }

  end (): void {}
}

/** The first character, if it is plain ASCII as nearly always; else the text without a last character that is not whole yet, such as a byte order mark. */
function beginningOf (bytes: Buffer): string {
  const [first = SPACE] = bytes
  return first > SPACE && first <= LAST_ASCII ? String.fromCharCode(first) : new TextDecoder().decode(bytes, { stream: true })
}

/** One JSON document, or one a line. */
class JsonBody implements AnswerParser {
  readonly isBetweenEvents = false
  pieces = 0
  readonly #documents = new JsonDocuments()
  #hasLines = false

  constructor (private readonly reader: AnswerReader) {}

  push (bytes: Buffer): void {
    if (bytes.some(byte => byte > SPACE)) this.pieces++
    for (const line of this.#documents.push(bytes)) this.#readLine(line)
  }

  end (): void {
    for (const rest of this.#documents.end()) {
      if (this.#hasLines) this.#readLine(rest)
      else this.reader.onDocument(rest)
    }
  }

  #readLine (line: string): void {
    this.#hasLines = true
    this.reader.onData(line)
  }
}

/** A page for people, which is no answer. */
class Page implements AnswerParser {
  readonly isBetweenEvents = false
  #text = ''

  push (bytes: Buffer): void {
    this.#text += bytes.toString()
    if (this.#text.length > MAX_PAGE) this.end()
  }

  end (): void {
    throw errorOfPage(this.#text)
  }
}
