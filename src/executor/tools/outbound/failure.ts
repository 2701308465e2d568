import { errors } from 'undici'
import { ToolError } from '../tool.js'
import { NotPublicError } from './connector.js'

/** Tools may not connect to this address, so a retry would not help. */
export class AddressRefusedError extends ToolError {}

/**
 * Explains why a request to a host failed, without the addresses that its causes contain.
 * @returns a ToolError; the signal's reason once it is aborted.
 */
export function explainFailure (error: unknown, host: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof ToolError) return error
  if (error instanceof NotPublicError) return new AddressRefusedError(`${host} is not at a public address, and tools may only connect to such.`)
  const code = codeOf(error)
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new ToolError(`${host} cannot be found.`)
  if (error instanceof errors.ConnectTimeoutError || code === 'ETIMEDOUT') return new ToolError(`${host} cannot be reached: it took too long to connect.`)
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError) return new ToolError(`${host} does not answer as HTTP has it.`)
  if (code.includes('CERT') || code.includes('ISSUER') || code.startsWith('ERR_TLS')) return new ToolError(`${host} has no certificate that can be trusted (${code}).`)
  if (code.startsWith('Z_') || code.startsWith('ERR__ERROR_') || code.startsWith('ERR_PADDING')) return new ToolError(`${host} sent an answer whose compression is broken.`)
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE') return new ToolError(`${host} broke off the connection.`)
  return new ToolError(`${host} cannot be reached${/^E[A-Z]+$/.test(code) ? ` (${code})` : ''}.`)
}

/** The code of an error. A connection that was tried at several addresses has an error for each. */
function codeOf (error: unknown): string {
  const { code, errors } = error as { code?: unknown, errors?: unknown[] }
  return typeof code === 'string' ? code : errors?.length ? codeOf(errors[0]) : ''
}
