import { errors, ServiceError } from '../errors.ts'
import { sentenceOf } from '../http/html.ts'
import { Refusal } from './refusals.ts'

/** What a body is, whatever its content type says: events, JSON (one document, or one a line), or a page for people. */
export type AnswerForm = 'events' | 'json' | 'page'

/** The form of a body by its beginning; undefined if there is nothing but white space yet. */
export function formOf (beginning: string): AnswerForm | undefined {
  const first = /[^\s\ufeff]/.exec(beginning)?.[0]
  if (first === undefined) return undefined
  return first === '{' || first === '[' ? 'json' : first === '<' ? 'page' : 'events'
}

/** UTF-16 units. */
const MAX_JSON = 16 * 1024 * 1024

/** What the frames of a stream have, and a completion that is one document has not. */
const DELTA = /"delta"\s*:/

/** Takes JSON that arrives in pieces apart: into its lines if they are the frames of a stream, as in ndjson; else it is one document. */
export class JsonDocuments {
  #decoder = new TextDecoder()
  #pieces: string[] = []
  #length = 0
  /** Whether each line is a document; undefined until the first line is known. */
  #areLines: boolean | undefined

  /** @returns the documents that are complete, as text. @throws {RangeError} if one has more than 16 Mi UTF-16 units. */
  push (bytes: Uint8Array): string[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }))
  }

  /** The rest, after the last byte. */
  end (): string[] {
    const documents = this.#read(this.#decoder.decode())
    const rest = this.#takeRest('')
    return isBlank(rest) ? documents : [...documents, rest]
  }

  #read (text: string): string[] {
    const documents: string[] = []
    let at = 0
    for (let end = text.indexOf('\n'); end !== -1 && this.#areLines !== false; end = text.indexOf('\n', at)) {
      const line = this.#takeRest(text.slice(at, end))
      this.#areLines ??= isBlank(line) ? undefined : DELTA.test(line) && isDocument(line)
      if (this.#areLines === false) this.#keep(`${line}\n`)
      else if (!isBlank(line)) documents.push(line)
      at = end + 1
    }
    this.#keep(text.slice(at))
    return documents
  }

  #keep (piece: string): void {
    this.#length += piece.length
    if (this.#length > MAX_JSON) throw new RangeError('A document is too long.')
    this.#pieces.push(piece)
  }

  #takeRest (end: string): string {
    const rest = this.#pieces.join('') + end
    this.#pieces = []
    this.#length = 0
    return rest
  }
}

/** The failure of a gateway that answers a completion with a page for people. */
export function errorOfPage (page: string): ServiceError {
  return errors.gatewayUnavailable().with({ reason: `the AI gateway answered 200 with a page instead of a completion: ${sentenceOf(page)}` })
}

/**
 * Maps what was thrown while an answer was read: what is malformed is the gateway's failure, an error that has been mapped stays
 * as it is, and what only a program does wrong is a fault of ours.
 */
export function errorOfReading (error: unknown): unknown {
  if (error instanceof Refusal || error instanceof ServiceError) return error
  // The message of a syntax error quotes the answer, which no log may hold.
  if (error instanceof SyntaxError) return errors.gatewayUnavailable().with({ reason: 'the AI gateway sent what is no JSON' })
  return (isOurs(error) ? errors.internal() : errors.gatewayUnavailable()).with({ cause: error })
}

/** Connections of Deno fail by a TypeError too, and bodies that cannot be decoded; these have a cause, or say so. */
function isOurs (error: unknown): boolean {
  if (error instanceof ReferenceError) return true
  return error instanceof TypeError && error.cause === undefined && /is not a function|is not iterable|Cannot (read|set|destructure|convert)|is not defined/.test(error.message)
}

/** The failure of a gateway whose answer ended without an end. */
export function errorOfCutOff (): ServiceError {
  return errors.gatewayUnavailable().with({ reason: 'the AI gateway broke off before the end of its answer' })
}

function isBlank (text: string): boolean {
  return text.trim() === ''
}

function isDocument (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
