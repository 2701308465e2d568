import { parseRetryAfter } from '#shared/http/retry-after.ts'
import { AddressRefused } from '../outbound/failure.js'
import type { Outbound, OutboundAnswer, OutboundRequest } from '../outbound/outbound.js'
import { ToolError } from '../tool.js'

/** Milliseconds before each try. */
export const PAUSES: readonly number[] = [0, 5_000, 30_000, 300_000]
/** A receiver that asks for a longer pause gets this one. */
const MAX_PAUSE = 600_000

/** What became of a try. `isFinal`: another one would not help; `pause`: the milliseconds that the receiver asks for before it. */
export type Outcome = { delivered: true } | { delivered: false, reason: string, isFinal?: boolean, pause?: number }

/**
 * Sends something once; never rejects.
 * @param makeRequest called now, for what is signed with its time.
 * @param signal aborted when the process has no time left for that.
 */
export async function tryDelivery (
  outbound: Pick<Outbound, 'request'>, makeRequest: () => OutboundRequest, signal: AbortSignal
): Promise<Outcome> {
  try {
    return judge(await outbound.request(makeRequest(), signal))
  } catch (error) {
    return { delivered: false, reason: signal.aborted ? 'shutting down' : wordsOf(error), isFinal: signal.aborted || error instanceof AddressRefused }
  }
}

/** A redirect that is not followed is a failure by the standard, and 410 the wish to hear no more. */
function judge ({ status, headers }: OutboundAnswer): Outcome {
  if (status >= 200 && status < 300) return { delivered: true }
  return { delivered: false, reason: `status ${status}`, isFinal: status === 410, pause: readRetryAfter(headers['retry-after']) }
}

/** The pause that a Retry-After header asks for, in milliseconds, up to the limit. */
function readRetryAfter (value = ''): number | undefined {
  const seconds = parseRetryAfter(value)
  return seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_PAUSE)
}

export function wordsOf (error: unknown): string {
  return error instanceof ToolError ? error.message : 'failed'
}
