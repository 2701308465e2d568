/** The fields of `choices[0].delta` that contain text. */
export type DeltaField = 'content' | 'reasoning_content' | 'reasoning'

export interface TextReader { onText (text: string): void }

/** A text that no frame contains, for checking which field a template fills. */
const SENTINEL = 'jeesi sentinel 5b1f'
const SPACE = 32
const QUOTE = 34
const BACKSLASH = 92
const TILDE = 126
/** Frames in a row that were learned without a match, after which the stream is only parsed: its frames differ in more than their text. */
const MAX_ATTEMPTS = 8

/**
 * Extracts the text of a stream's frames without parsing them. The frames of most gateways are identical except for
 * their text, so comparing the bytes around it suffices, and costs much less than `JSON.parse`. A frame that differs in
 * any other byte is left to the parser.
 */
export class DeltaTemplate {
  /** The field that the extracted text belongs to. */
  field: DeltaField = 'content'
  /** The bytes before and after the text, as Latin-1 (one character per byte). */
  #head = ''
  #tail = ''
  #attempts = 0

  /**
   * Makes a parsed frame the template, if its text can be located.
   * @param data the frame's JSON, which was one `data: …` line, followed by an empty line.
   * @param field as `templateFieldOf` returns it.
   * @param text the value of `field`.
   */
  learn (data: string, field: DeltaField, text: string): void {
    if (text === '' || this.#attempts >= MAX_ATTEMPTS) return
    this.#attempts++
    const literal = JSON.stringify(text)
    const at = data.indexOf(literal)
    if (at === -1) return
    const head = data.slice(0, at + 1)
    const tail = data.slice(at + literal.length - 1)
    if (!fillsField(head, field, tail)) return
    this.field = field
    this.#head = toLatin1(`data: ${head}`)
    this.#tail = toLatin1(`${tail}\n\n`)
  }

  /**
   * Extracts the text of consecutive frames until one does not match.
   * @param raw bytes of the stream as Latin-1: a frame begins at `from`, and the read ends at `to`.
   * @param reader receives the text of each frame.
   * @returns the index of the first frame that must be parsed.
   */
  extract (raw: string, from: number, to: number, reader: TextReader): number {
    if (this.#head === '') return from
    let at = from
    while (startsWithAt(raw, this.#head, at)) {
      const begin = at + this.#head.length
      const plainEnd = endOfPlain(raw, begin, to)
      const isPlain = startsWithAt(raw, this.#tail, plainEnd)
      const end = isPlain ? plainEnd : raw.indexOf(this.#tail, begin)
      const next = end + this.#tail.length
      if (end === -1 || next > to) break
      const text = isPlain ? raw.slice(begin, end) : decodeJsonString(raw.slice(begin, end))
      if (text === undefined) break
      at = next
      this.#attempts = 0
      reader.onText(text)
    }
    return at
  }
}

/** The single text field of a frame that carries nothing else; only such frames become the template. */
export function templateFieldOf (choice: any, { usage }: { usage?: unknown }): DeltaField | undefined {
  const delta = choice?.delta
  if (!delta || delta.tool_calls || usage || typeof choice.finish_reason === 'string') return undefined
  const present = (['content', 'reasoning_content', 'reasoning'] as const).filter(field => delta[field])
  return present.length === 1 && typeof delta[present[0]!] === 'string' ? present[0] : undefined
}

/** Whether the text between head and tail is the field, rather than another value with the same spelling. */
function fillsField (head: string, field: DeltaField, tail: string): boolean {
  try {
    return JSON.parse(head + SENTINEL + tail).choices[0].delta[field] === SENTINEL
  } catch {
    return false
  }
}

/** The end of the unescaped ASCII at the beginning of a JSON string: its closing quote, an escape, or another character. */
function endOfPlain (raw: string, from: number, to: number): number {
  let at = from
  for (let code = raw.charCodeAt(at); at < to && code >= SPACE && code <= TILDE && code !== QUOTE && code !== BACKSLASH; code = raw.charCodeAt(at)) at++
  return at
}

/** Equivalent to `raw.startsWith(part, at)`, which V8 executes as a loop over characters and takes ten times as long. */
function startsWithAt (raw: string, part: string, at: number): boolean {
  return raw.slice(at, at + part.length) === part
}

/** Decodes the inside of a JSON string; undefined if it is not one, because the string ends elsewhere. */
function decodeJsonString (latin1: string): string | undefined {
  try {
    return JSON.parse(`"${Buffer.from(latin1, 'latin1')}"`)
  } catch {
    return undefined
  }
}

function toLatin1 (text: string): string {
  return Buffer.from(text).toString('latin1')
}
