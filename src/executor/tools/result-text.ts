import type { OutboundAnswer } from './outbound/outbound.js'

/** Characters of a result that a model is told: some 8,000 tokens. */
export const MAX_RESULT_CHARACTERS = 32_000

/** A text that is short enough for a model, with a note where something was left off. */
export function shorten (text: string, max = MAX_RESULT_CHARACTERS): string {
  return text.length <= max ? text : `${text.slice(0, max).toWellFormed()}\n[… ${text.length - max} more characters were left off]`
}

/** The text of an answer, by the charset it names; of what is no text, only what it is. */
export function textOf ({ body, headers }: Pick<OutboundAnswer, 'body' | 'headers'>): string {
  const type = headers['content-type'] ?? ''
  if (body.includes(0)) return `[${body.length} bytes of ${type.split(';')[0] || 'binary data'}]`
  const [, charset] = /charset="?([\w-]+)/i.exec(type) ?? []
  try {
    return new TextDecoder(charset).decode(body)
  } catch {
    return new TextDecoder().decode(body)
  }
}
