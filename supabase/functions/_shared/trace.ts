import { firstSeq } from './event-number.ts'
import { finalEvent, isFinal } from './final-event.ts'
import type { Run, RunEvent } from './schemas.ts'

/** An event with its number in its run. */
export interface NumberedEvent { readonly seq: number, readonly event: RunEvent }

/**
 * The events of a finished run without the last, in a form that is small enough to store. A number stands for a chunk of
 * the response of that many UTF-16 code units; every other event is stored as it was emitted.
 */
export type Trace = Array<number | RunEvent>

/** A finished run with its trace; the trace is null if it was erased or never written. */
export interface EndedRun { run: Run, trace: Trace | null }

/** The trace of a run's entries. With the response it restores the same events with the same numbers. */
export function toTrace (entries: readonly NumberedEvent[]): Trace {
  const rewound = findRewound(entries)
  return entries
    .filter(({ event }) => !isFinal(event))
    .map(({ seq, event }) => event.type === 'chunk' && !rewound(seq) ? event.content.length : event)
}

/** Tells of each event number whether a later rewind took the event back. Such chunks are not part of the response. */
export function findRewound (entries: readonly NumberedEvent[]): (seq: number) => boolean {
  const spans: Array<{ from: number, until: number }> = []
  for (const { seq, event } of entries) if (event.type === 'rewind') spans.push({ from: event.to, until: seq })
  return seq => spans.some(({ from, until }) => seq > from && seq < until)
}

/**
 * A trace as it is kept where messages are not: the same events with the same numbers, without what they quote of questions,
 * documents and tools. The answer is no part of a trace. What a tool was asked and found, what a model thought, what a program
 * said of its progress, and text that was taken back is empty; that it happened, and by which tool, stays.
 */
export function withoutTexts (trace: Trace): Trace {
  return trace.map(item => typeof item === 'number' ? item : withoutText(item))
}

function withoutText (event: RunEvent): RunEvent {
  switch (event.type) {
    case 'tool_call': return { ...event, arguments: {} }
    case 'tool_result': return { ...event, ...('error' in event ? { error: '' } : { result: '' }) }
    case 'reasoning':
    case 'chunk': return { ...event, content: '' }
    case 'progress': return { ...event, message: undefined }
    default: return event
  }
}

/** The response that a run's events add up to. */
export function responseOf (entries: readonly NumberedEvent[]): string {
  const rewound = findRewound(entries)
  return entries.map(({ seq, event }) => event.type === 'chunk' && !rewound(seq) ? event.content : '').join('')
}

/** The first events of an attempt. A later attempt does not know what earlier ones emitted, so it takes everything back. */
export function beginning (runId: string, agentId: string, attempt: number): RunEvent[] {
  const started: RunEvent = { type: 'started', runId, agentId, attempt }
  return attempt > 1 ? [started, { type: 'rewind', to: 0 }] : [started]
}

/**
 * All events of a finished run, the first of which has the number `firstSeq(run.attempt)`. Without a trace only the
 * beginning and the end are known: the trace was erased, or the database ended the run itself.
 */
export function eventsOf ({ run, trace }: EndedRun): RunEvent[] {
  const events = trace ? expand(trace, run.response) : beginning(run.runId, run.agentId, run.attempt)
  return [...events, finalEvent(run)]
}

/** The number of a finished run's last event. */
export function lastSeqOf (ended: EndedRun): number {
  return firstSeq(ended.run.attempt) + eventsOf(ended).length - 1
}

function expand (trace: Trace, response: string): RunEvent[] {
  let position = 0
  return trace.map(item => {
    // The type first, as it was emitted: PostgreSQL puts the names of an object in an order of its own.
    if (typeof item !== 'number') return withTypeFirst(item)
    position += item
    return { type: 'chunk', content: response.slice(position - item, position) }
  })
}

function withTypeFirst ({ type, ...rest }: RunEvent): RunEvent {
  return { type, ...rest } as RunEvent
}
