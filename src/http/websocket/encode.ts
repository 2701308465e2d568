import type { RunEvent } from '#shared/schemas.ts'
import type { Bytes } from '../../executor/events/event-log.js'
import { asciiTextFrame, isPlain, toTextFrame } from '../bytes.js'

const TYPES: Record<RunEvent['type'], string> = {
  queued: 'agent_queued',
  started: 'agent_execution_started',
  chunk: 'agent_chunk',
  reasoning: 'agent_reasoning',
  progress: 'agent_progress',
  rewind: 'agent_rewind',
  step: 'agent_step',
  tool_call: 'agent_tool_call',
  tool_result: 'agent_tool_result',
  retry: 'agent_retry',
  done: 'agent_execution_complete',
  error: 'agent_execution_error',
  cancelled: 'agent_cancelled'
}

/** A run's event as a message of `/ws`, a frame; several runs share a connection, so each message names its run. */
export function encodeSocket (seq: number, event: RunEvent, runId: string): Bytes {
  // Nearly all events are texts, and most of those as they are.
  if (event.type !== 'chunk' && event.type !== 'reasoning') return toTextFrame(JSON.stringify({ ...event, type: TYPES[event.type], runId, seq }))
  const { content } = event
  return isPlain(content)
    ? asciiTextFrame(`{"type":"${TYPES[event.type]}","content":"${content}","runId":"${runId}","seq":${seq}}`)
    : toTextFrame(`{"type":"${TYPES[event.type]}","content":${JSON.stringify(content)},"runId":"${runId}","seq":${seq}}`)
}

/** The same for the client that asked for the run by a name of its own. */
export function encodeSocketFor (requestId: string) {
  return (seq: number, event: RunEvent, runId: string): Bytes =>
    toTextFrame(JSON.stringify({ ...event, type: TYPES[event.type], runId, seq, requestId }))
}

/** The run goes on elsewhere, or there was no more room for it here: to be resumed from `after`. */
export function encodeReconnect (runId: string, after: number): string {
  return JSON.stringify({ type: 'agent_reconnect', runId, after })
}

/** The events that tell a client about its request, and so bear its name. */
export function answersRequest ({ type }: RunEvent): boolean {
  return type === 'started' || type === 'done' || type === 'error' || type === 'cancelled'
}
