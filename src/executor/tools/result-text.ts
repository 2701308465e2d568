import type { OutboundResponse } from './outbound/outbound.js'

/** How many characters of a tool's result a model receives, in UTF-16 units: about 8,000 tokens. */
export const MAX_RESULT_CHARACTERS = 32_000

/** Cuts a text for a model to `max` characters, and appends how many were left off. */
export function shorten (text: string, max = MAX_RESULT_CHARACTERS): string {
  return text.length <= max ? text : `${text.slice(0, max).toWellFormed()}\n[… ${text.length - max} more characters were left off]`
}

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
