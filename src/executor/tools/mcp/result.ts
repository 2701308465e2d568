/** UTF-16 units of a server's words for a kind of content. */
const MAX_WORD = 100

/** The text of a tool's result. Any other content is described by its type and size, and what is not understood by its type. */
export function textOfResult ({ content, structuredContent }: { content?: unknown, structuredContent?: unknown }): string {
  const parts = Array.isArray(content) ? content : typeof content === 'string' ? [{ type: 'text', text: content }] : []
  if (parts.length === 0 && structuredContent !== undefined) return JSON.stringify(structuredContent)
  return parts.map(textOfPart).join('\n')
}

type Part = Record<string, unknown>

function textOfPart (value: unknown): string {
  const part = partOf(value)
  switch (part.type) {
    case 'text': return typeof part.text === 'string' ? part.text : '[text]'
    case 'image':
    case 'audio': return `[${part.type}, ${word(part.mimeType)}, ${sizeOf(part.data)} bytes]`
    case 'resource_link': return `[resource ${word(part.name)}: ${word(part.uri)}]`
    case 'resource': return textOfResource(partOf(part.resource))
    default: return `[${word(part.type)}]`
  }
}

function textOfResource ({ text, uri, mimeType, blob }: Part): string {
  return typeof text === 'string' ? text : `[resource ${word(uri)}, ${mimeType === undefined ? 'binary' : word(mimeType)}, ${sizeOf(blob)} bytes]`
}

function partOf (value: unknown): Part {
  return typeof value === 'object' && value !== null ? value as Part : {}
}

function word (value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_WORD).toWellFormed() : 'unknown'
}

/** The decoded size of base64, in bytes. */
function sizeOf (base64: unknown): number {
  return typeof base64 === 'string' ? Math.floor(base64.length * 3 / 4) : 0
}
