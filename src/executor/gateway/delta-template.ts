/** The fields of `choices[0].delta` that contain text. */
const FIELDS = ['content', 'reasoning_content', 'reasoning'] as const
export type DeltaField = typeof FIELDS[number]

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

  /** Whether there is a template. Asked before the parser is asked where it stands: parsers are of several classes, and each token would look its class up. */
  get isLearned (): boolean { return this.#head !== '' }

  /** Whether another frame may become the template. */
  get isLearning (): boolean { return this.#attempts < MAX_ATTEMPTS }

  /**
   * Makes a parsed frame the template, if its text can be located.
   * @param data the frame's JSON, which was one `data: …` line, followed by an empty line.
   * @param field as `templateFieldOf` returns it.
   * @param text the value of `field`.
   */
  learn (data: string, field: DeltaField, text: string): void {
    if (text === '' || !this.isLearning) return
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
    if (!this.isLearned) return from
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
  if (!delta || usage || choice.finish_reason) return undefined
  const [name, ...others] = Object.keys(delta).filter(field => field !== 'role' && !isEmpty(delta[field]))
  return others.length === 0 && typeof delta[name!] === 'string' ? FIELDS.find(field => field === name) : undefined
}

/** Some gateways write fields without a value into every delta. */
function isEmpty (value: unknown): boolean {
  return value === null || value === '' || (Array.isArray(value) && value.length === 0)
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
