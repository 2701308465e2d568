import { ToolError } from './tool-error.ts'

/** The values of a template's placeholders, by their names. An undefined value becomes an empty text. */
export type TemplateValues = Readonly<Record<string, unknown>>

/** In UTF-16 units: a short template may repeat a long value. */
const MAX_FILLED = 1024 * 1024

/** What a template of JSON made is no JSON. */
export class InvalidJsonError extends ToolError {}

const PLACEHOLDER = /\{\{\s*([\w.-]+)\s*\}\}/g

/**
 * Fills `{{name}}` with the value of that name: texts as they are, other values as JSON. Unknown names stay in the text.
 * @throws {ToolError} if the result is too large.
 */
export function fillText (template: string, values: TemplateValues): string {
  return fill(template, values, toText)
}

/**
 * Fills a URL. Values are percent-encoded, so that none of them reaches beyond its part of the URL.
 * @throws {ToolError} if a value would change the path, as `..` cannot be encoded, or if the result is too large.
 */
export function fillUrl (template: string, values: TemplateValues): string {
  const url = fill(template, values, value => encodeURIComponent(toText(value).toWellFormed()))
  const withoutValues = template.replace(PLACEHOLDER, 'x')
  if (dotSegments(url) > dotSegments(withoutValues)) throw new ToolError('A value of the URL is "." or "..", which would lead elsewhere.')
  return url
}

/** Fills the body of a form with percent-encoded values. @throws {ToolError} if the result is too large. */
export function fillForm (template: string, values: TemplateValues): string {
  return fill(template, values, value => encodeURIComponent(toText(value).toWellFormed()))
}

/**
 * Fills a JSON template. A value within a string is escaped; any other becomes a JSON value of its own.
 * @throws {InvalidJsonError} if the result is not JSON.
 * @throws {ToolError} if it is too large.
 */
export function fillJson (template: string, values: TemplateValues): string {
  let inString = false
  let end = 0
  const filled = fill(template, values, (value, offset) => {
    inString = endsInString(template.slice(end, offset), inString)
    end = offset
    return inString ? JSON.stringify(toText(value)).slice(1, -1) : JSON.stringify(value ?? null)
  })
  checkJson(filled, template, values)
  return filled
}

function fill (template: string, values: TemplateValues, write: (value: unknown, offset: number) => string): string {
  let length = template.length
  return template.replace(PLACEHOLDER, (placeholder, name: string, offset: number) => {
    if (!Object.hasOwn(values, name)) return placeholder
    const value = values[name]
    // Before it is encoded: that of a large value takes long.
    refuseBeyond(length + (typeof value === 'string' ? value.length : 0))
    const written = write(value, offset)
    length += written.length
    refuseBeyond(length)
    return written
  })
}

function refuseBeyond (length: number): void {
  if (length > MAX_FILLED) throw new ToolError('What the template makes is too large.')
}

function toText (value: unknown): string {
  return typeof value === 'string' ? value : value == null ? '' : JSON.stringify(value)
}

function dotSegments (url: string): number {
  return url.split(/[/\\?#]/).filter(segment => /^(?:\.|%2e){1,2}$/i.test(segment)).length
}

/** Whether a text ends within a JSON string. Placeholders contain neither quotes nor backslashes, so the text between them suffices. */
function endsInString (text: string, inString: boolean): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\' && inString) i++
    else if (text[i] === '"') inString = !inString
  }
  return inString
}

function checkJson (filled: string, template: string, values: TemplateValues): void {
  try {
    JSON.parse(filled)
  } catch {
    const unknown = [...template.matchAll(PLACEHOLDER)].map(([, name]) => name!).find(name => !Object.hasOwn(values, name))
    throw new InvalidJsonError(`The template makes no valid JSON${unknown ? `: there is no value for {{${unknown}}}` : ''}.`)
  }
}
