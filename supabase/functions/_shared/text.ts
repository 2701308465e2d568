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

/** The text without the first half of a surrogate pair at its end, whose second half has yet to arrive. */
export function withoutHalfPair (text: string): string {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text
}
