import type { RawData } from 'ws'
import { errors, type ServiceError } from '#shared/errors.ts'
import { compileStrict, invalid } from '#shared/http/validation.ts'
import { refuseDeepNesting } from '#shared/nesting.ts'
import { SocketMessages } from '../../contract/socket-messages.js'

/** A client's message before it is validated. */
export interface ClientMessage { type: string, requestId?: unknown, runId?: unknown }

const validators = Object.fromEntries(
  Object.entries(SocketMessages).map(([type, schema]) => [type, compileStrict(schema)]))

/** Parses a message. An error is returned and not thrown, since the message counts against the rate limit first. */
export function read (data: RawData, isBinary: boolean): ClientMessage | null | ServiceError {
  if (isBinary) return errors.badRequest('Messages are JSON in text frames.')
  try {
    return JSON.parse(data.toString())
  } catch {
    return errors.invalidJson('message')
  }
}

/** A field of a bad message that is short enough to be repeated to its client. */
export function shortText (value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= 200 ? value : undefined
}

/** Validates a message. @throws {ServiceError} bad_request */
export function check (message: ClientMessage | null): asserts message is ClientMessage {
  refuseDeepNesting(message)
  const type = message?.type
  const validate = typeof type === 'string' && Object.hasOwn(validators, type) ? validators[type] : undefined
  if (!validate) throw errors.badRequest(`The message's type must be one of ${Object.keys(validators).join(', ')}.`)
  if (!validate(message)) throw invalid(validate.errors!, 'message')
}
