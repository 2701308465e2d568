import { errors } from '#shared/errors.ts'
import { errorEvent } from '#shared/final-event.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { SOCKET_EVENTS } from '../../contract/socket-messages.js'
import type { Bytes } from '../../executor/events/event-log.js'
import { asciiTextFrame, isPlain, toTextFrame } from '../bytes.js'

/** Encodes a run's event as one frame of `/ws`. Several runs share a connection, so each message names its run. */
export function encodeSocket (seq: number, event: RunEvent, runId: string): Bytes {
  // Nearly all events are texts, and most of them need no escape.
  if (event.type !== 'chunk' && event.type !== 'reasoning') return toTextFrame(JSON.stringify({ ...event, type: SOCKET_EVENTS[event.type], runId, seq }))
  const { content } = event
  return isPlain(content)
    ? asciiTextFrame(`{"type":"${SOCKET_EVENTS[event.type]}","content":"${content}","runId":"${runId}","seq":${seq}}`)
    : toTextFrame(`{"type":"${SOCKET_EVENTS[event.type]}","content":${JSON.stringify(content)},"runId":"${runId}","seq":${seq}}`)
}

/** Encodes events for a client that gave its request an id. */
export function encodeSocketFor (requestId: string) {
  return (seq: number, event: RunEvent, runId: string): Bytes =>
    toTextFrame(JSON.stringify({ ...event, type: SOCKET_EVENTS[event.type], runId, seq, requestId }))
}

/** Encodes that the run's events end here and the run does not: the client resumes from `after`. */
export function encodeReconnect (runId: string, after: number): string {
  return JSON.stringify({ type: 'agent_reconnect', runId, after })
}

/** The same for a client that does not know `reconnect`. It has no number, because it is not an event of the run. */
export function encodeCutOff (runId: string, requestId?: string): string {
  return JSON.stringify({ ...errorEvent(runId, errors.connectionEnded()), type: SOCKET_EVENTS.error, requestId })
}

/** Whether an event answers a request, and so has the request's id. */
export function answersRequest ({ type }: RunEvent): boolean {
  return type === 'started' || type === 'done' || type === 'error' || type === 'cancelled'
}
