const encoder = new TextEncoder()

/** Makes a text storable by every store and protocol: NUL and unpaired surrogates become U+FFFD. */
export function toStorable (text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed()
  return wellFormed.includes('\0') ? wellFormed.replaceAll('\0', '\ufffd') : wellFormed
}

/** A copy of a JSON value in which every text, keys included, is storable: PostgreSQL's text and jsonb reject all others. */
export function toStorableValue (value: unknown): unknown {
  if (typeof value === 'string') return toStorable(value)
  if (Array.isArray(value)) return value.map(toStorableValue)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [toStorable(key), toStorableValue(member)]))
}

/**
 * A copy of a JSON value as PostgreSQL returns it once it was stored as jsonb: storable, and with its names in the order of jsonb,
 * by length and then by bytes. A text that is made of it is the same in every attempt.
 */
export function toStoredValue (value: unknown): unknown {
  if (typeof value === 'string') return toStorable(value)
  if (Array.isArray(value)) return value.map(toStoredValue)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).map(([key, member]) => ({ key: toStorable(key), member }))
  entries.sort((a, b) => bytesOf(a.key) - bytesOf(b.key) || compareCodePoints(a.key, b.key))
  return Object.fromEntries(entries.map(({ key, member }) => [key, toStoredValue(member)]))
}

function bytesOf (text: string): number {
  // eslint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(text) ? text.length : encoder.encode(text).length
}

/** The order of UTF-8's bytes, which is that of code points, and not that of UTF-16 units. */
function compareCodePoints (a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  return (a.codePointAt(at) ?? -1) - (b.codePointAt(at) ?? -1)
}

/** The text without the first half of a surrogate pair at its end, whose second half has yet to arrive. */
export function withoutHalfPair (text: string): string {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text
}
