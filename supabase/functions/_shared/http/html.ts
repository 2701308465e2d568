/** Characters of a page that are looked at: few enough for patterns that look at them again and again. */
const MAX_PAGE = 4_000
/** What a tag hides from a reader, and tags themselves. */
const HIDDEN = /<(script|style)\b[\s\S]*?<\/\1\s*>|<!--[\s\S]*?-->/gi
const TAG = /<[^<>]{0,1000}>/g
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", nbsp: ' ' }

/** A page of HTML as a sentence: its title, or its first heading, or all of its text; any other text as it is. */
export function sentenceOf (text: string): string {
  if (!/^\s*<(!doctype|html|head|body|h\d|\?xml|title|center|!--)/i.test(text)) return text
  const page = text.slice(0, MAX_PAGE).replace(HIDDEN, ' ')
  const named = /<(title|h1)\b[^<>]{0,1000}>([^<]*[^<\s][^<]*)</i.exec(page)?.[2]
  return (named ?? page.replace(TAG, ' '))
    .replace(/&([a-z]+|#39);/gi, (entity, name: string) => ENTITIES[name.toLowerCase()] ?? entity)
    .replace(/\s+/g, ' ').trim()
}
