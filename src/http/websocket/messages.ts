import type { RawData } from 'ws'
import { errors, type ServiceError } from '#shared/errors.ts'
import { compileStrict, invalid } from '#shared/http/validation.ts'
import { refuseDeepNesting } from '#shared/nesting.ts'
import { SocketMessages } from '../../contract/socket-messages.js'

/** What a client sent, as far as it is known before it is checked. */
export interface ClientMessage { type: string, requestId?: unknown, runId?: unknown }

const validators = Object.fromEntries(
  Object.entries(SocketMessages).map(([type, schema]) => [type, compileStrict(schema)]))

/** Reads a message; what cannot be read is returned as its error, for its sender is counted first. */
export function read (data: RawData, isBinary: boolean): ClientMessage | null | ServiceError {
  if (isBinary) return errors.badRequest('Messages are JSON in text frames.')
  try {
    return JSON.parse(data.toString())
  } catch {
    return errors.invalidJson('message')
  }
}

/** What of a bad message is said back to its client. */
export function shortText (value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= 200 ? value : undefined
}

export function check (message: ClientMessage | null): asserts message is ClientMessage {
  refuseDeepNesting(message)
  const type = message?.type
  const validate = typeof type === 'string' && Object.hasOwn(validators, type) ? validators[type] : undefined
  if (!validate) throw errors.badRequest(`The message's type must be one of ${Object.keys(validators).join(', ')}.`)
  if (!validate(message)) throw invalid(validate.errors!, 'message')
}
