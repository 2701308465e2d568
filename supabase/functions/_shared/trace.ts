import { isFinal } from './final-event.ts'
import type { RunEvent } from './schemas.ts'

/** An event with its number in its run. */
export interface NumberedEvent { readonly seq: number, readonly event: RunEvent }

/**
 * A finished run's events without their last, small enough to keep: an event as it was told, or, for a chunk of the
 * response, how many UTF-16 units of it it was.
 */
export type Trace = Array<number | RunEvent>

/** What is to be kept of a run's entries, so that they can be told again to the letter and the number. */
export function toTrace (entries: readonly NumberedEvent[]): Trace {
  const rewound = findRewound(entries)
  return entries
    .filter(({ event }) => !isFinal(event))
    .map(({ seq, event }) => event.type === 'chunk' && !rewound(seq) ? event.content.length : event)
}

/** Chunks that a later rewind took back are no part of the response. */
export function findRewound (entries: readonly NumberedEvent[]): (seq: number) => boolean {
  const spans: Array<{ from: number, until: number }> = []
  for (const { seq, event } of entries) if (event.type === 'rewind') spans.push({ from: event.to, until: seq })
  return seq => spans.some(({ from, until }) => seq > from && seq < until)
}

/** The text that a run's events amount to. */
export function responseOf (entries: readonly NumberedEvent[]): string {
  const rewound = findRewound(entries)
  return entries.map(({ seq, event }) => event.type === 'chunk' && !rewound(seq) ? event.content : '').join('')
}

/** What an attempt tells before anything else: what the one before had said is not known to it, and comes anew. */
export function beginning (runId: string, agentId: string, attempt: number): RunEvent[] {
  const started: RunEvent = { type: 'started', runId, agentId, attempt }
  return attempt > 1 ? [started, { type: 'rewind', to: 0 }] : [started]
}

export function eventsOf (trace: Trace, response: string): RunEvent[] {
  let position = 0
  return trace.map(item => {
    if (typeof item !== 'number') return item
    position += item
    return { type: 'chunk', content: response.slice(position - item, position) }
  })
}
