import { errorOfPage, formOf, JsonDocuments } from '../../_shared/gateway/answer-form.ts'
import { readData } from '../streams/sse-data.ts'

/** Characters of a page that are read. */
const MAX_PAGE = 64 * 1024

/** Receives the frames of one network read at a time, or a document that is the whole body. */
export interface AnswerTaker {
  /** Whether nothing more of the body is worth waiting for. */
  readonly isDone: boolean
  take (frames: string[]): void
  takeWhole (json: string): void
}

/**
 * Reads an answer whatever its content type says: events, lines of JSON, or one document.
 * @throws {ServiceError} gateway_unavailable, if it is a page for people; whatever the taker throws.
 * @throws {RangeError} if a line or document is too long.
 */
export async function readAnswer (body: AsyncIterable<Uint8Array>, taker: AnswerTaker): Promise<void> {
  const source = body[Symbol.asyncIterator]()
  const seen: Uint8Array[] = []
  let form: ReturnType<typeof formOf>
  let length = 0
  const decoder = new TextDecoder()
  while (form === undefined) {
    const next = await source.next()
    if (next.done) return
    seen.push(next.value)
    length += next.value.length
    // White space without end is no answer, in whatever form.
    form = formOf(decoder.decode(next.value, { stream: true })) ?? (length > MAX_PAGE ? 'events' : undefined)
  }
  const whole = rejoin(seen, source)
  if (form === 'page') throw errorOfPage(await readText(whole))
  if (form === 'json') return readJson(whole, taker)
  for await (const frames of readData(whole)) {
    taker.take(frames)
    if (taker.isDone) return
  }
}

async function * rejoin (seen: Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield * seen
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value
  } finally {
    // Whoever stops reading closes the connection.
    await rest.return?.()
  }
}

async function readJson (body: AsyncIterable<Uint8Array>, taker: AnswerTaker): Promise<void> {
  const documents = new JsonDocuments()
  let hasLines = false
  for await (const bytes of body) {
    const lines = documents.push(bytes)
    if (lines.length > 0) taker.take(lines)
    hasLines ||= lines.length > 0
    if (taker.isDone) return
  }
  for (const rest of documents.end()) {
    if (hasLines) taker.take([rest])
    else taker.takeWhole(rest)
  }
}

async function readText (body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of body) {
    text += decoder.decode(bytes, { stream: true })
    if (text.length > MAX_PAGE) break
  }
  return text
}
