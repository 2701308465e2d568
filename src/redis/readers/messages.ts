import type { RunEvent } from '#shared/schemas.ts'
import type { EventLog } from '../../executor/events/event-log.js'

/**
 * What processes say to each other about runs that are read elsewhere than they are made. A process has an inbox, a channel of
 * Redis. All messages are soft: what is lost is said again, and what is not repeated is forgotten.
 */
export type Message = Want | Unknown | Told | Seek | Here | Ask | Answer

/** A process wants runs of another: what has changed, or nothing, so that the other goes on. */
export interface Want {
  readonly kind: 'want'
  readonly from: string
  /** Names the feed: a new one begins whenever something may have been lost. */
  readonly feed: string
  /** Counts the messages with changes, so that a lost one is noticed. */
  readonly revision: number
  /** Whether this is the first message of the feed, with all that is wanted. */
  readonly isAll: boolean
  /** Runs with the number of the last event that the reader has. */
  readonly add: ReadonlyArray<readonly [runId: string, after: number]>
  readonly drop: readonly string[]
  /** How many characters have arrived by this feed. */
  readonly received: number
}

/** A feed is not known, or not as the reader thinks: it should begin a new one. */
export interface Unknown { readonly kind: 'unknown', readonly from: string, readonly feed: string }

/** Events of wanted runs. */
export interface Told {
  readonly kind: 'told'
  readonly from: string
  readonly feed: string
  /** Counts the messages of the feed from 1. */
  readonly number: number
  readonly runs: readonly ToldRun[]
  /** Runs that this process does not have, or has let go of. */
  readonly gone: readonly string[]
}

/** Consecutive events of a run from number `first` on, a chunk as its text alone; and the number of the run's last event. */
export type ToldRun = readonly [runId: string, first: number, events: ReadonlyArray<string | RunEvent>, last: number]

/** To all processes: whoever makes one of these runs, or takes it over within the next seconds, should say so. */
export interface Seek { readonly kind: 'seek', readonly from: string, readonly runs: readonly string[] }

/** An answer to that: runs with their attempts. */
export interface Here { readonly kind: 'here', readonly from: string, readonly runs: ReadonlyArray<readonly [runId: string, attempt: number]> }

/** What is the text of these runs so far, up to so many characters? */
export interface Ask { readonly kind: 'ask', readonly from: string, readonly id: number, readonly runs: readonly string[], readonly characters: number }

/** An answer to that, of the runs that this process makes. */
export interface Answer { readonly kind: 'answer', readonly from: string, readonly id: number, readonly texts: Readonly<Record<string, string>> }

/** How many characters of a feed may be under way before the reader says that some have arrived. */
export const WINDOW = 1024 * 1024
/** The length of a frame at the most, in characters. */
const FRAME = 64 * 1024
/** What an event counts beside its text. */
const EVENT_COST = 8
/** A message of events has one frame, or several that begin with these marks and the name of the feed; the last has the length of all. */
const PART = '+'
const LAST_PART = '.'
/** The length of a feed's name, which is a UUID, and of that number. */
const NAME_LENGTH = 36
const DIGITS = 10

/** Takes consecutive events of a run after number `after` from a log, of about `limit` characters at the most, or one that is larger. */
export function packRun (log: Pick<EventLog, 'next' | 'last'>, runId: string, after: number, limit: number): { run: ToldRun, size: number } {
  const events: Array<string | RunEvent> = []
  let size = 0
  let first: number | undefined
  let cursor = after
  for (let entry = log.next(runId, cursor); entry && size < limit; entry = log.next(runId, cursor)) {
    const { event } = entry
    size += (event.type === 'chunk' ? event.content.length : JSON.stringify(event).length) + EVENT_COST
    events.push(event.type === 'chunk' ? event.content : event)
    first ??= entry.seq
    cursor = entry.seq
  }
  return { run: [runId, first ?? after + 1, events, log.last(runId) ?? 0], size }
}

export function eventsOf ([, , events]: ToldRun): RunEvent[] {
  return events.map(event => typeof event === 'string' ? { type: 'chunk', content: event } : event)
}

/** Encodes a message of events into frames: Redis cuts off readers for whom it holds too much. */
export function toFrames (told: Told): string[] {
  const text = JSON.stringify(told)
  if (text.length <= FRAME) return [text]
  const frames: string[] = []
  for (let start = 0; start < text.length;) {
    let end = Math.min(start + FRAME, text.length)
    // A pair of surrogates is one character of UTF-8.
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--
    const mark = end < text.length ? `${PART}${told.feed}` : `${LAST_PART}${told.feed}${String(text.length).padStart(DIGITS, '0')}`
    frames.push(`${mark}${text.slice(start, end)}`)
    start = end
  }
  return frames
}

function isHighSurrogate (unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00
}

/** A frame of a message that has several. */
export interface Part {
  readonly feed: string
  readonly text: string
  /** The length of the whole message, if this is its last part. */
  readonly total?: number
}

/** Decodes such a frame; undefined for a whole message. */
export function toPart (frame: string): Part | undefined {
  const isLast = frame[0] === LAST_PART
  if (!isLast && frame[0] !== PART) return undefined
  const start = 1 + NAME_LENGTH
  const feed = frame.slice(1, start)
  if (!isLast) return { feed, text: frame.slice(start) }
  return { feed, text: frame.slice(start + DIGITS), total: Number(frame.slice(start, start + DIGITS)) }
}
