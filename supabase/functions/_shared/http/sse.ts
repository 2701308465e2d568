import { errors } from '../errors.ts'
import { errorEvent } from '../final-event.ts'
import type { RunEvent } from '../schemas.ts'

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
}

/** Milliseconds between two pings. Readers are promised a byte every 15 seconds; two pings fit in. */
export const PING_MS = 7_000

/**
 * Whether a reader asks again by itself whenever its stream has ended, as an EventSource of browsers does, until it is
 * answered with 204. It names the last event that it has, or else, if its URL does, no type but that of streams.
 */
export function isEventSource ({ lastEventId, accept }: { lastEventId?: unknown, accept?: string | null }): boolean {
  return (lastEventId ?? undefined) !== undefined || accept?.trim().toLowerCase() === 'text/event-stream'
}

/** A comment. It keeps proxies from closing a stream that is quiet for long. */
export const SSE_PING = ': ping\n\n'

/** The last frame of a stream whose run has ended. */
export const SSE_DONE = 'data: [DONE]\n\n'

/** An event of a run as a frame of `text/event-stream`. The frame's id is the event's number, from which a reader can resume. */
export function encodeSse (seq: number, event: RunEvent): string {
  return `id: ${seq}\ndata: ${JSON.stringify(event)}\n\n`
}

/**
 * The last frame of a stream that ends before its run. It has no id, because it is not an event of the run.
 * @param after the number of the last event that was sent.
 * @param target where the reader resumes, if not at the same address.
 */
export function encodeReconnect (after: number, target?: { runId: string, url: string }): string {
  return `data: ${JSON.stringify({ type: 'reconnect', after, ...target })}\n\n`
}

/**
 * The last frame of a stream that ends before its run, for a reader that does not know `reconnect`: what it has is not
 * whole. It has no id either, and no `[DONE]` follows it.
 */
export function encodeCutOff (runId: string): string {
  return `data: ${JSON.stringify(errorEvent(runId, errors.connectionEnded()))}\n\n`
}
