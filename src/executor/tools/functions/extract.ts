/** Each takes no more than a bounded number of steps from any place, so no text makes them slow. */
const PATTERNS = {
  emails: /[\w.+-]{1,64}@[a-z\d-]{1,63}(?:\.[a-z\d-]{1,63}){1,8}/gi,
  urls: /https?:\/\/[^\s<>"'`]{1,2000}[^\s<>"'`.,;:!?)\]}]/gi,
  numbers: /(?<![\w.,-])[+-]?\d{1,30}(?:[.,]\d{1,30}){0,10}%?(?![\w-])/g,
  dates: new RegExp([
    /\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?\b/,
    /\b\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d{2})\b/,
    /\b\d{1,2}(?:\.|st|nd|rd|th)? (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?,? \d{4}\b/,
    /\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}\b/
  ].map(pattern => pattern.source).join('|'), 'gi')
}

export type Kind = keyof typeof PATTERNS

/** More than that of a text nobody searches by hand either. */
const MAX_TEXT = 200_000

const KINDS = Object.keys(PATTERNS) as Kind[]
const NAMES: Record<string, Kind> = { email: 'emails', url: 'urls', link: 'urls', links: 'urls', number: 'numbers', date: 'dates' }

/** What people write around such a list. */
const FILLERS = new Set('extract find get list pull out all any every the and from in of this text message'.split(' '))

/** What a template lists to pull out, or all where it lists nothing; undefined: it asks for something else. */
export function kindsIn (template: string): Kind[] | undefined {
  const words = template.toLowerCase().replace(/\{\{\s*[\w.-]+\s*\}\}/g, ' ').split(/[\s,;:.&]+/).filter(word => word !== '' && !FILLERS.has(word))
  const kinds = words.map(word => KINDS.find(kind => kind === word) ?? (Object.hasOwn(NAMES, word) ? NAMES[word] : undefined))
  if (kinds.length === 0) return KINDS
  return kinds.every(kind => kind !== undefined) ? [...new Set(kinds)] : undefined
}

/** What of these kinds occurs in a text, in its order and each once. */
export function extract (text: string, kinds: Kind[]): Partial<Record<Kind, string[]>> {
  const searched = text.slice(0, MAX_TEXT)
  return Object.fromEntries(kinds.map(kind => [kind, [...new Set(searched.match(PATTERNS[kind]))]]))
}
