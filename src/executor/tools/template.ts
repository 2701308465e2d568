import { ToolError } from './tool.js'

/** What the names in a template stand for. A name that is known and has no value (undefined) is filled with nothing. */
export type TemplateValues = Readonly<Record<string, unknown>>

/** Characters; a short template may name a long text many times. */
const MAX_FILLED = 4 * 1024 * 1024

const PLACEHOLDER = /\{\{\s*([\w.-]+)\s*\}\}/g

/** Fills in the values as they are; what is no text, as JSON. A name that is not known stays as it stands. */
export function fillText (template: string, values: TemplateValues): string {
  return fill(template, values, toText)
}

/**
 * The same in a URL: values are percent-encoded, so that none of them ends its place in it.
 * @throws {ToolError} where a value would lead to another path: `..` cannot be encoded.
 */
export function fillUrl (template: string, values: TemplateValues): string {
  const url = fill(template, values, value => encodeURIComponent(toText(value).toWellFormed()))
  const withoutValues = template.replace(PLACEHOLDER, 'x')
  if (dotSegments(url) > dotSegments(withoutValues)) throw new ToolError('A value of the URL is "." or "..", which would lead elsewhere.')
  return url
}

/** The same in a body of a form. */
export function fillForm (template: string, values: TemplateValues): string {
  return fill(template, values, value => encodeURIComponent(toText(value).toWellFormed()))
}

/**
 * The same in JSON: escaped where it stands in a string, and as JSON of its own where it stands bare.
 * @throws {ToolError} where no JSON comes of it.
 */
export function fillJson (template: string, values: TemplateValues): string {
  let inString = false
  let end = 0
  const filled = fill(template, values, (value, place) => {
    inString = endsInString(template.slice(end, place), inString)
    end = place
    return inString ? JSON.stringify(toText(value)).slice(1, -1) : JSON.stringify(value ?? null)
  })
  checkJson(filled, template, values)
  return filled
}

function fill (template: string, values: TemplateValues, write: (value: unknown, place: number) => string): string {
  let length = template.length
  return template.replace(PLACEHOLDER, (placeholder, name: string, place: number) => {
    if (!Object.hasOwn(values, name)) return placeholder
    const written = write(values[name], place)
    length += written.length
    if (length > MAX_FILLED) throw new ToolError('What the template makes is too large.')
    return written
  })
}

function toText (value: unknown): string {
  return typeof value === 'string' ? value : value == null ? '' : JSON.stringify(value)
}

function dotSegments (url: string): number {
  return url.split(/[/\\?#]/).filter(segment => /^(?:\.|%2e){1,2}$/i.test(segment)).length
}

/** Placeholders have neither quotes nor backslashes, so the text between them decides. */
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
    throw new ToolError(`The template makes no valid JSON${unknown ? `: there is no value for {{${unknown}}}` : ''}.`)
  }
}
