import { errors, restoreError, type EdgeError } from './errors.ts'
import type { Usage } from './usage.ts'

/** A run as callers see it. */
export interface Run {
  runId: string
  agentId: string
  status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'
  attempt: number
  response: string
  finishReason: string | null
  usage: Usage | null
  creditsReserved: number
  creditsCharged: number
  error: { code: string, message: string } | null
  cached?: boolean
  createdAt: string
  startedAt: string | null
  finishedAt: string | null
}

export type RunEvent =
  | { type: 'started', runId: string, agentId: string, attempt: number }
  | { type: 'chunk' | 'reasoning', content: string }
  | { type: 'rewind', to: number }
  | { type: 'retry', code: string, delayMs: number }
  | { type: 'error', error: string, code: string, runId: string, retryable: boolean }
  | { type: 'cancelled', runId: string, creditsUsed: number }
  | ({ type: 'done' } & Answer)

/** What a run that succeeded has brought; executionTime in milliseconds. */
export interface Answer {
  response: string
  executionTime: number
  runId: string
  usage: Usage
  creditsUsed: number
  finishReason: string | null
  /** The agent was asked the same before: no model was. */
  cached?: boolean
}

/** What the service keeps of a finished run's events, without the last: an event as it was told, a number for a chunk of so many UTF-16 units. */
export type Trace = Array<number | RunEvent>

export interface Ended { run: Run, trace: Trace | null }

/** What a finished run has told, to the letter and the number. Without a trace there is nothing left to tell but its end. */
export function eventsOf ({ run, trace }: Ended): Array<{ seq: number, event: RunEvent }> {
  const events = [...trace ? fromTrace(trace, run.response) : beginning(run), finalEvent(run)]
  // Each attempt counts from its own beginning, so that no number is ever used twice.
  const first = (run.attempt - 1) * 1_000_000_000 + 1
  return events.map((event, index) => ({ seq: first + index, event }))
}

function fromTrace (trace: Trace, response: string): RunEvent[] {
  let position = 0
  return trace.map(item => {
    if (typeof item !== 'number') return item
    position += item
    return { type: 'chunk', content: response.slice(position - item, position) }
  })
}

export function toTrace (events: RunEvent[]): Trace {
  return events.map(event => event.type === 'chunk' ? event.content.length : event)
}

/** What an attempt tells before anything else. */
export function beginning ({ runId, agentId, attempt }: Run): RunEvent[] {
  const started: RunEvent = { type: 'started', runId, agentId, attempt }
  return attempt > 1 ? [started, { type: 'rewind', to: 0 }] : [started]
}

/** The event that ends the stream of a finished run. */
export function finalEvent (run: Run): RunEvent {
  const { runId, creditsCharged: creditsUsed } = run
  if (run.status === 'cancelled') return { type: 'cancelled', runId, creditsUsed }
  if (run.status === 'failed') {
    const error = errorOf(run)
    return { type: 'error', error: error.message, code: error.code, runId, retryable: error.isRetryable }
  }
  return { type: 'done', ...answerOf(run) }
}

/** What a finished run is answered with where nothing streams. Throws what it failed of. */
export function answerOf (run: Run): Answer {
  const { runId, response, usage, creditsCharged: creditsUsed, finishReason, cached } = run
  if (run.status === 'cancelled') throw errors.runCancelled().with({ runId })
  if (run.status === 'failed') throw errorOf(run).with({ runId })
  const executionTime = Math.max(0, Date.parse(run.finishedAt!) - Date.parse(run.createdAt))
  return { response, executionTime, runId, usage: usage!, creditsUsed, finishReason, ...(cached && { cached }) }
}

function errorOf ({ error }: Run): EdgeError {
  return error ? restoreError(error.code, error.message) : errors.internal()
}
