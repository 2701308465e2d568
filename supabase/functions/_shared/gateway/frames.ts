import { errors, type ServiceError } from '../errors.ts'
import { toStorable } from '../text.ts'
import type { ReportedUsage } from '../usage.ts'
import { type Ending, readFinishReason } from './finish-reasons.ts'
import { errorOfStatus, Refusal } from './refusals.ts'

/** In UTF-16 units. */
const MAX_LABEL = 200

// Where a frame of a chat completion holds its parts, and when they count. Gateways differ, so every field is checked. The
// functions return strings instead of one object per frame, because the service reads frames by the hundred thousand.

/** The text of a message or delta, be it in one piece, in parts, or a refusal; empty if it has none. */
export function contentOf (message: any): string {
  const content = message?.content
  const text = Array.isArray(content) ? textOfParts(content, part => !isThought(part)) : textOf(content)
  return typeof message?.refusal === 'string' ? text + message.refusal : text
}

/** The reasoning of a message or delta, under either of its two names or in parts of its content; empty if it has none. */
export function reasoningOf (message: any): string {
  const reasoning = textOf(message?.reasoning_content) || textOf(message?.reasoning)
  return Array.isArray(message?.content) ? reasoning + textOfParts(message.content, isThought) : reasoning
}

/** The name under which a message or delta has its reasoning; empty if it has none, or only in parts of its content. */
export function nameOfReasoning (message: any): string {
  return ['reasoning_content', 'reasoning'].find(name => textOf(message?.[name])) ?? ''
}

/** Whether the text of a message or delta says that the model refuses to answer. */
export function isRefusal (message: any): boolean {
  return textOf(message?.refusal) !== ''
}

/** The pieces of tool calls of a message or delta; `function_call` is the form of older gateways, with a single call. */
export function toolCallsOf (message: any): unknown {
  const calls = message?.tool_calls
  if (Array.isArray(calls) && calls.length > 0) return calls
  const call = message?.function_call
  return typeof call === 'object' && call !== null ? [{ index: 0, function: call }] : undefined
}

/** Whether a message or delta holds something that is the model's answer, beside images. */
export function hasOutput (message: any): boolean {
  return contentOf(message) !== '' || reasoningOf(message) !== '' || toolCallsOf(message) !== undefined
}

/** Whether a message or delta has an image that the model has made. */
export function hasImage (message: any): boolean {
  if (Array.isArray(message?.images) && message.images.length > 0) return true
  return Array.isArray(message?.content) && message.content.some((part: any) => /image/.test(textOf(part?.type)))
}

/** Why a choice has ended; undefined if it has not. */
export function endingOf (choice: any): Ending | undefined {
  const value = choice?.finish_reason
  const ending = value ? readFinishReason(value) : undefined
  // Those of the protocol are labels as they are.
  return ending?.kind === 'known' ? ending : ending && { ...ending, reason: toLabel(ending.reason) }
}

/** The model that a frame names; empty if it names none. */
export function modelOf (frame: any): string {
  return toLabel(textOf(frame?.model))
}

/** The error that a frame, or a whole completion, is or holds; undefined if there is none. Its answer began with status 200. */
export function failureOf (frame: any): ServiceError | undefined {
  const choice = frame.choices?.[0]
  const error = frame.error || choice?.error || (frame.object === 'error' || frame.type === 'error' ? frame : undefined)
  if (error) return errorOfFrame(error)
  const ending = endingOf(choice)
  return ending?.kind === 'failure' ? errors.gatewayUnavailable().with({ reason: `the AI gateway ended its answer by the finish_reason ${ending.reason}` }) : undefined
}

/**
 * The error for the error of a frame or of a whole completion.
 * @param error a text, or an object: its `code` or `status` may be an HTTP status; otherwise it counts as 502.
 */
export function errorOfFrame (error: any): ServiceError {
  const status = [error.code, error.status].map(Number).find(code => code >= 400 && code < 600) ?? 502
  const failure = errorOfStatus(status, { text: textOf(error) || textOf(error.message) })
  return failure instanceof Refusal ? failure.toServiceError() : failure
}

/** The usage that a frame reports, without its other fields; undefined if it reports none. Some gateways put it into the choice. */
export function usageOf (frame: any): ReportedUsage | undefined {
  const usage = frame?.usage ?? frame?.choices?.[0]?.usage ?? frame?.x_groq?.usage
  if (typeof usage !== 'object' || usage === null) return undefined
  const { prompt_tokens, completion_tokens, total_tokens } = usage
  return { prompt_tokens, completion_tokens, total_tokens }
}

/** The text of a content's parts; that of a thought may be parts again. */
function textOfParts (parts: unknown[], isWanted: (part: any) => boolean): string {
  return parts.filter(isWanted).map((part: any) => {
    const text = part?.text ?? part?.thinking ?? part?.reasoning
    return Array.isArray(text) ? text.map(inner => textOf(inner?.text)).join('') : textOf(text)
  }).join('')
}

function isThought (part: any): boolean {
  return part?.type === 'thinking' || part?.type === 'reasoning'
}

/** A name as it is kept: in columns and in the log there is no text of any length. */
function toLabel (text: string): string {
  return toStorable(text.slice(0, MAX_LABEL))
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
