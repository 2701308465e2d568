import type { Run, RunEvent } from '#shared/schemas.ts'
import { firstSeq, isFinal, type Entry, type EventLog } from './event-log.js'
import { finalEvent } from '#shared/final-event.ts'

/**
 * A finished run's events without their last, small enough to keep: an event as it was told, or, for a chunk of the
 * response, how many UTF-16 units of it it was.
 */
export type Trace = Array<number | RunEvent>

/** What is to be kept of a run's entries, so that they can be told again to the letter and the number. */
export function toTrace (entries: readonly Entry[]): Trace {
  const rewound = findRewound(entries)
  return entries
    .filter(({ event }) => !isFinal(event))
    .map(({ seq, event }) => event.type === 'chunk' && !rewound(seq) ? event.content.length : event)
}

/** Chunks that a later rewind took back are no part of the response. */
export function findRewound (entries: ReadonlyArray<Pick<Entry, 'seq' | 'event'>>): (seq: number) => boolean {
  const spans: Array<{ from: number, until: number }> = []
  for (const { seq, event } of entries) if (event.type === 'rewind') spans.push({ from: event.to, until: seq })
  return seq => spans.some(({ from, until }) => seq > from && seq < until)
}

/**
 * Puts a finished run back into the log, as it was told. Without a trace there is nothing left to tell but its end: it
 * was erased, or the database ended it itself, as an attempt that said nothing.
 */
export function restore (log: EventLog, run: Run, trace: Trace | null): void {
  const { runId, agentId, attempt, response } = run
  const events = trace ? eventsOf(trace, response) : beginning(runId, agentId, attempt)
  log.ingest(runId, firstSeq(attempt), [...events, finalEvent(run)])
}

/** The text that a run's events amount to. */
export function responseOf (entries: ReadonlyArray<Pick<Entry, 'seq' | 'event'>>): string {
  const rewound = findRewound(entries)
  return entries.map(({ seq, event }) => event.type === 'chunk' && !rewound(seq) ? event.content : '').join('')
}

/** What an attempt tells before anything else: what the one before had said is not known to it, and comes anew. */
export function beginning (runId: string, agentId: string, attempt: number): RunEvent[] {
  const started: RunEvent = { type: 'started', runId, agentId, attempt }
  return attempt > 1 ? [started, { type: 'rewind', to: 0 }] : [started]
}

function eventsOf (trace: Trace, response: string): RunEvent[] {
  let position = 0
  return trace.map(item => {
    if (typeof item !== 'number') return item
    position += item
    return { type: 'chunk', content: response.slice(position - item, position) }
  })
}
