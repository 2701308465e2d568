/** The first characters of a text, at most `count`; a character is a code point, as PostgreSQL counts them. */
export function firstCharacters (text: string, count: number): string {
  let end = 0
  for (let n = 0; n < count && end < text.length; n++) end += text.codePointAt(end)! > 0xffff ? 2 : 1
  return text.slice(0, end)
}

/** How many characters a well-formed text has, counted as above. */
export function countCharacters (text: string): number {
  let count = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0xdc00 && unit <= 0xdfff) count--
  }
  return count
}
