import { parseRetryAfter } from '#shared/http/retry-after.ts'
import { AddressRefusedError } from '../outbound/failure.js'
import type { Outbound, OutboundRequest, OutboundResponse } from '../outbound/outbound.js'
import { ToolError } from '../tool.js'

/** Milliseconds to wait before each try. */
export const RETRY_DELAYS: readonly number[] = [0, 5_000, 30_000, 300_000]
/** A receiver that asks for a longer pause gets this one. */
const MAX_PAUSE = 600_000

/**
 * The outcome of one try. `status`: the receiver's, if it answered; `isFinal`: a retry would not help; `pause`: the
 * milliseconds that the receiver asks to wait before it.
 */
export type DeliveryOutcome =
  | { delivered: true, status: number }
  | { delivered: false, reason: string, status?: number, isFinal?: boolean, pause?: number }

/**
 * Tries to deliver a request once. Never rejects.
 * @param makeRequest is called at each try, since a webhook is signed with its time.
 * @param signal is aborted when the process must exit.
 */
export async function tryDelivery (
  outbound: Pick<Outbound, 'request'>, makeRequest: () => OutboundRequest, signal: AbortSignal
): Promise<DeliveryOutcome> {
  try {
    return toOutcome(await outbound.request(makeRequest(), signal))
  } catch (error) {
    return { delivered: false, reason: signal.aborted ? 'shutting down' : describeError(error), isFinal: signal.aborted || error instanceof AddressRefusedError }
  }
}

/** By the standard a redirect is a failure, and 410 asks for no more deliveries. */
function toOutcome ({ status, headers }: OutboundResponse): DeliveryOutcome {
  if (status >= 200 && status < 300) return { delivered: true, status }
  return { delivered: false, reason: `status ${status}`, status, isFinal: status === 410, pause: readRetryAfter(headers['retry-after']) }
}

/** The pause that a Retry-After header asks for, in milliseconds, up to the limit. */
function readRetryAfter (value = ''): number | undefined {
  const seconds = parseRetryAfter(value)
  return seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_PAUSE)
}

export function describeError (error: unknown): string {
  return error instanceof ToolError ? error.message : 'failed'
}
