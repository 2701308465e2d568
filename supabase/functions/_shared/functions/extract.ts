/** Each pattern takes a bounded number of steps from any position, so that no text makes it slow. */
const PATTERNS = {
  emails: /(?<![\w.+-])[\w.+-]{1,64}@[a-z\d-]{1,63}(?:\.[a-z\d-]{1,63}){1,8}/gi,
  urls: /https?:\/\/[^\s<>"'`]{1,2000}[^\s<>"'`.,;:!?)\]}]/gi,
  numbers: /(?<![\w.,-])[+-]?\d{1,30}(?:[.,]\d{1,30}){0,10}%?(?![\w-])/g,
  dates: new RegExp([
    /\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?\b/,
    /\b\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d{2})\b/,
    /\b\d{1,2}(?:\.|st|nd|rd|th)? (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?,? \d{4}\b/,
    /\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}\b/
  ].map(pattern => pattern.source).join('|'), 'gi')
}

export type PatternName = keyof typeof PATTERNS

/** How many UTF-16 units of a text are searched. */
const MAX_TEXT = 100_000

const PATTERN_NAMES = Object.keys(PATTERNS) as PatternName[]
const ALIASES: Record<string, PatternName> = { email: 'emails', url: 'urls', link: 'urls', links: 'urls', number: 'numbers', date: 'dates' }

/** Words that a template may contain besides the names of patterns. */
const STOP_WORDS = new Set('extract find get list pull out all any every the and from in of this text message'.split(' '))

/** The patterns that a template lists, or all if it lists none; undefined if it contains any other word. */
export function patternsIn (template: string): PatternName[] | undefined {
  const words = template.toLowerCase().replace(/\{\{\s*[\w.-]+\s*\}\}/g, ' ').split(/[\s,;:.&]+/).filter(word => word !== '' && !STOP_WORDS.has(word))
  const names = words.map(word => PATTERN_NAMES.find(name => name === word) ?? (Object.hasOwn(ALIASES, word) ? ALIASES[word] : undefined))
  if (names.length === 0) return PATTERN_NAMES
  return names.every(name => name !== undefined) ? [...new Set(names)] : undefined
}

/** The matches of these patterns in a text, in their order and without repetitions. */
export function extract (text: string, names: PatternName[]): Partial<Record<PatternName, string[]>> {
  const searched = text.slice(0, MAX_TEXT)
  return Object.fromEntries(names.map(name => [name, [...new Set(searched.match(PATTERNS[name]))]]))
}
