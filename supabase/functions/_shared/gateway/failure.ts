import { errors, reasonOf, type ServiceError } from '../errors.ts'
import { causeCodeOf } from './cause-code.ts'

/** Why the gateway has failed once, for operators and admins: no user reads it, and it has no text of messages. */
export interface GatewayFailure {
  attempt: number
  /** ISO. */
  at: string
  code: string
  /** The HTTP status of its answer, if it has answered. */
  status?: number
  /** On one line of at most 300 characters. */
  reason?: string
  /** Of the connection, such as ENOTFOUND, ECONNREFUSED or CERT_HAS_EXPIRED. */
  cause?: string
  /** The model that was asked. */
  model: string
}

/** The last failures of a run that are kept. */
export const MAX_FAILURES = 50

/** Codes of failures that an operator has to do something about. */
const FOR_THE_OPERATOR: ReadonlySet<string> = new Set([errors.gatewayUnauthorized.code, errors.gatewayPaymentRequired.code])

/** The failure that an error of the gateway means; undefined for any other error. */
export function gatewayFailure (error: ServiceError, attempt: number, model: string): GatewayFailure | undefined {
  const { code, gatewayStatus: status } = error
  if (!code.startsWith('gateway_')) return undefined
  return { attempt, at: new Date().toISOString(), code, status, reason: reasonOf(error), cause: causeCodeOf(error.cause), model }
}

/** At which level a failure is logged. */
export function levelOf ({ code }: GatewayFailure): 'warn' | 'error' {
  return FOR_THE_OPERATOR.has(code) ? 'error' : 'warn'
}
