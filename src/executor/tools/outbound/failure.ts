import { errors } from 'undici'
import { ToolError } from '../tool.js'
import { NotPublic } from './connector.js'

/** Tools may not connect there; trying again will not help. */
export class AddressRefused extends ToolError {}

/** What went wrong on the way to a host, in words and without the addresses that the causes name. */
export function explainFailure (error: unknown, host: string, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof ToolError) return error
  if (error instanceof NotPublic) return new AddressRefused(`${host} is not at a public address, and tools may only connect to such.`)
  const code = codeOf(error)
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new ToolError(`${host} cannot be found.`)
  if (error instanceof errors.ConnectTimeoutError || code === 'ETIMEDOUT') return new ToolError(`${host} cannot be reached: it took too long to connect.`)
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError) return new ToolError(`${host} does not answer as HTTP has it.`)
  if (code.includes('CERT') || code.includes('ISSUER') || code.startsWith('ERR_TLS')) return new ToolError(`${host} has no certificate that can be trusted (${code}).`)
  if (code.startsWith('Z_') || code.startsWith('ERR__ERROR_') || code.startsWith('ERR_PADDING')) return new ToolError(`${host} sent an answer whose compression is broken.`)
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE') return new ToolError(`${host} broke off the connection.`)
  return new ToolError(`${host} cannot be reached${/^E[A-Z]+$/.test(code) ? ` (${code})` : ''}.`)
}

/** A connection that was tried at several addresses fails with one error for each. */
function codeOf (error: unknown): string {
  const { code, errors } = error as { code?: unknown, errors?: unknown[] }
  return typeof code === 'string' ? code : errors?.length ? codeOf(errors[0]) : ''
}
