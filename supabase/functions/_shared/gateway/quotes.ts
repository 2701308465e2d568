import { ServiceError } from '../errors.ts'
import type { ModelMessage } from '../messages.ts'

/** What a gateway quotes of a message is found if it is the whole of it, or at least twice this long. */
const PIECE = 12
/** Shorter messages than this are words of any sentence. */
const MIN_TEXT = 4
/** Characters of a conversation up to which quotes are looked for. Of a longer one's failure only the status is kept. */
const MAX_TEXT = 100_000
const HIDDEN = '…'

/** Takes out of an error's reason what the gateway has quoted of the messages, and the key. Returns the error. */
export function hideQuotes<E> (error: E, messages: readonly ModelMessage[], key?: string): E {
  if (!(error instanceof ServiceError) || error.reason === undefined) return error
  const texts = messages.flatMap(textsOf)
  const isTooLong = texts.reduce((sum, text) => sum + text.length, 0) > MAX_TEXT
  const reason = key ? error.reason.replaceAll(key, HIDDEN) : error.reason
  return Object.assign(error, { reason: isTooLong ? reason.split(': ', 1)[0]! : texts.reduce(hideQuote, reason) })
}

function textsOf (message: ModelMessage): string[] {
  const { content } = message
  const calls = 'tool_calls' in message ? [...message.tool_calls.map(call => call.function.arguments), JSON.stringify(message.origin?.extra ?? '')] : []
  if (typeof content === 'string') return [content, ...calls]
  return [...(content ?? []).map(part => part.type === 'text' ? part.text : part.image_url.url), ...calls]
}

/** Pieces that follow each other are looked for, and one that is found is grown to both sides. */
function hideQuote (reason: string, text: string): string {
  if (text.length < 2 * PIECE) return text.trim().length < MIN_TEXT ? reason : reason.replaceAll(text.trim(), HIDDEN)
  let rest = reason
  for (let start = 0; start + PIECE <= rest.length; start += PIECE) {
    const at = text.indexOf(rest.slice(start, start + PIECE))
    if (at === -1) continue
    let before = 0
    while (before < Math.min(start, at) && rest[start - before - 1] === text[at - before - 1]) before++
    let length = PIECE
    while (start + length < rest.length && at + length < text.length && rest[start + length] === text[at + length]) length++
    rest = `${rest.slice(0, start - before)}${HIDDEN}${rest.slice(start + length)}`
    start -= before + PIECE - HIDDEN.length
  }
  return rest
}
