import { errors, type ServiceError } from '../errors.ts'
import type { AnswerEnd } from './frame-reader.ts'

/**
 * The failure that an answer without text and without tool calls is, if the model has worked for it or its text was withheld;
 * undefined if it has said nothing, which is an answer too.
 * @param hasReasoning whether there was reasoning that is told apart from the text.
 */
export function failureOfEmpty ({ finishReason, usage }: AnswerEnd, hasReasoning: boolean): ServiceError | undefined {
  if (finishReason === 'content_filter') return errors.gatewayRejected().with({ reason: 'a filter withheld the answer' })
  if (!hasReasoning && !(Number(usage?.completion_tokens) > 0)) return undefined
  if (finishReason === 'length') return errors.gatewayAnswerTooLong().with({ reason: 'the limit of tokens was reached before the answer began' })
  return errors.gatewayEmptyAnswer().with({ reason: `the answer has no text; finish_reason ${finishReason}` })
}
