import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyRequest } from 'fastify'
import { errors, type ServiceError } from '#shared/errors.ts'
import { compileStrict, invalid } from '#shared/http/validation.ts'
import { JsonScanner, parseJson } from '#shared/http/json.ts'
import { SocketMessages } from '../../contract/socket-messages.js'
import { clientAddress } from '../client-address.js'
import { refusalOf } from '../errors.js'

/** A client's message before it is validated. */
export interface ClientMessage { type: string, requestId?: unknown, runId?: unknown }

/** Bytes of a message that are looked at in one turn of the event loop. */
const TURN_BYTES = 256 * 1024
/** Bytes; a message up to this length is parsed although it is refused, so that the refusal can name its request. */
const NAMED_BYTES = 4 * 1024

const validators = Object.fromEntries(
  Object.entries(SocketMessages).map(([type, schema]) => [type, compileStrict(schema)]))

/**
 * Looks at a message without parsing it. Returns what it would cost, in bytes.
 * @throws {ServiceError} bad_request
 */
export async function costOf (data: Buffer, isBinary: boolean): Promise<number> {
  if (isBinary) throw errors.badRequest('Messages are JSON in text frames.')
  const scanner = new JsonScanner()
  for (let at = 0; at < data.length; at += TURN_BYTES) {
    if (at > 0) await nextTurn()
    scanner.scan(data.subarray(at, at + TURN_BYTES))
  }
  return scanner.cost
}

/** Parses and validates a message. @throws {ServiceError} invalid_json, bad_request */
export function read (data: Buffer): ClientMessage {
  const message = parseJson(data.toString(), 'message')
  check(message as ClientMessage | null)
  return message as ClientMessage
}

/** What a refused message says of itself, if it is short. */
export function describe (data: Buffer): ClientMessage | null {
  if (data.length > NAMED_BYTES) return null
  try {
    return parseJson(data.toString(), 'message') as ClientMessage | null
  } catch {
    return null
  }
}

/** A field of a bad message that is short enough to be repeated to its client. */
export function shortText (value: unknown): string | undefined {
  return typeof value === 'string' && value.length <= 200 ? value : undefined
}

function check (message: ClientMessage | null): void {
  const type = message?.type
  const validate = typeof type === 'string' && Object.hasOwn(validators, type) ? validators[type] : undefined
  if (!validate) throw errors.badRequest(`The message's type must be one of ${Object.keys(validators).join(', ')}.`)
  if (!validate(message)) throw invalid(validate.errors!, 'message')
}

/** The messages that execute agents, or are about their runs. */
export const RUN_MESSAGES: ReadonlySet<string> = new Set(['agent_execute', 'resume', 'cancel'])

/** Logs that a message was refused, as the line of a request says it. */
export function logRefused (request: FastifyRequest, failure: ServiceError, type = 'message'): void {
  const { code, reason } = refusalOf(failure)
  const what = RUN_MESSAGES.has(type) ? `[AGENT-EXECUTE] WebSocket ${type}` : 'WebSocket message'
  request.log.info({ code, reason, address: clientAddress(request), userId: request.caller?.userId }, `${what} refused`)
}
