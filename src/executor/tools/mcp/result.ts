import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'

/** The text of a tool's result. Any other content is described by its type and size. */
export function textOfResult ({ content, structuredContent }: Pick<CallToolResult, 'content' | 'structuredContent'>): string {
  if (content.length === 0 && structuredContent) return JSON.stringify(structuredContent)
  return content.map(textOfPart).join('\n')
}

function textOfPart (part: CallToolResult['content'][number]): string {
  switch (part.type) {
    case 'text': return part.text
    case 'image':
    case 'audio': return `[${part.type}, ${part.mimeType}, ${sizeOf(part.data)} bytes]`
    case 'resource_link': return `[resource ${part.name}: ${part.uri}]`
    case 'resource': {
      const { resource } = part
      return 'text' in resource ? resource.text : `[resource ${resource.uri}, ${resource.mimeType ?? 'binary'}, ${sizeOf(resource.blob)} bytes]`
    }
  }
}

/** The decoded size of base64, in bytes. */
function sizeOf (base64: string): number {
  return Math.floor(base64.length * 3 / 4)
}
