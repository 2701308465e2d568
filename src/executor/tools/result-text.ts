import type { OutboundResponse } from './outbound/outbound.js'

/** Decodes the body of an answer by its charset. A binary body becomes its size and content type. */
export function textOf ({ body, headers }: Pick<OutboundResponse, 'body' | 'headers'>): string {
  const type = headers['content-type'] ?? ''
  if (body.includes(0)) return `[${body.length} bytes of ${type.split(';')[0] || 'binary data'}]`
  const [, charset] = /charset="?([\w-]+)/i.exec(type) ?? []
  try {
    return new TextDecoder(charset).decode(body)
  } catch {
    return new TextDecoder().decode(body)
  }
}
