import { refuse } from '#shared/http/refuse.ts'
import { type ContentPart, IMAGE_URL, type Message } from '#shared/schemas.ts'
import type { UiMessage } from './ui-schemas.js'

/** A version of the AI SDK, or its transport that resumes by itself. */
export type UiProtocol = '5' | '6' | '7' | 'workflow'

const PROTOCOLS: readonly string[] = ['5', '6', '7', 'workflow'] satisfies UiProtocol[]

/** How a page is told a run. */
export interface UiReader {
  readonly protocol: UiProtocol
  /** How many chunks of the run the page has. */
  readonly startIndex: number
}

/** The protocol that was stored with a run. What every version knows, if there is none, or one of a later release. */
export function toUiProtocol (stored: string | null): UiProtocol {
  return stored !== null && PROTOCOLS.includes(stored) ? stored as UiProtocol : '5'
}

const FINISH_REASONS: Record<string, string> = { stop: 'stop', length: 'length', content_filter: 'content-filter' }

export function toUiFinishReason (finishReason: string | null): string {
  return FINISH_REASONS[finishReason ?? ''] ?? 'other'
}

const IMAGE = /^image\//i

/**
 * The conversation that a page sends, as the contract has it. Of answers only the text is taken: what tools have found is for the
 * service to say, not for a page.
 * @throws {ServiceError} bad_request, with the place of what an agent cannot see in `details`.
 */
export function toMessages (messages: readonly UiMessage[]): Message[] {
  const known = messages.flatMap((message, index): Message[] => {
    if (message.role === 'user') return [{ role: 'user', content: toContent(message, `messages.${index}.parts`) }]
    const content = textOf(message)
    return content === '' ? [] : [{ role: message.role, content }]
  })
  return known.length > 0 ? known : refuse('messages', 'must have a text')
}

function textOf ({ parts }: UiMessage): string {
  return parts.map(({ type, text }) => type === 'text' ? text ?? '' : '').join('')
}

function toContent ({ parts }: UiMessage, place: string): string | ContentPart[] {
  const content = parts.flatMap((part, index): ContentPart[] => {
    if (part.type === 'text') return [{ type: 'text', text: part.text ?? refuse(`${place}.${index}.text`, 'is required') }]
    return part.type === 'file' ? [toImage(part, `${place}.${index}`)] : []
  })
  const [only] = content
  if (only?.type === 'text' && content.length === 1) return only.text
  return content.length > 0 ? content : refuse(place, 'must have a text or an image')
}

function toImage ({ mediaType, url }: UiMessage['parts'][number], place: string): ContentPart {
  if (!IMAGE.test(mediaType ?? '')) refuse(`${place}.mediaType`, 'must be that of an image: agents see no other files')
  if (!IMAGE_URL.test(url ?? '')) refuse(`${place}.url`, 'must be an http, https or data URL')
  return { type: 'image_url', image_url: { url: url! } }
}
