/** How many characters of a tool's result a model receives, in UTF-16 units: about 8,000 tokens. */
export const MAX_RESULT_CHARACTERS = 32_000

/** Cuts a text for a model to `max` characters, and appends how many were left off. */
export function shorten (text: string, max = MAX_RESULT_CHARACTERS): string {
  return text.length <= max ? text : `${text.slice(0, max).toWellFormed()}\n[… ${text.length - max} more characters were left off]`
}
