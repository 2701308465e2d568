import type { Redis } from 'ioredis'
import { attemptOf, firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { Entry } from '../executor/events/event-log.js'
import { streamKey } from './keys.js'
import { type StreamEntry, toEntry } from './stream-reader.js'

/**
 * The format of a run's stream, which has the positions of a run that waits, and what was emitted of one that its process has
 * released. An entry holds consecutive events of one attempt as a JSON array in its field `e`. Its id is `<number of the last
 * event>-0`: Redis takes ids in ascending order only, so it refuses what an attempt writes after a later one.
 */

/** How long a stream of positions lives after the last, in seconds. */
export const STREAM_SECONDS = 3600
/** The same of a released run; others take it over within seconds, and its events begin anew. */
const RELEASED_SECONDS = 120
/** The size of an entry at the most, in characters of JSON; one event that is larger has an entry of its own. */
const MAX_ENTRY = 64 * 1024
/** How much of a released run is written at the most: the end of a process may not wait for more. */
const MAX_RELEASED = 4 * 1024 * 1024

type NumberedEvent = Pick<Entry, 'seq' | 'event'>

/** Writes what a run's attempt has emitted to the run's stream. What Redis does not take is lost, and told anew by the next attempt. */
export function handOver (redis: Redis, runId: string, entries: readonly Entry[]): void {
  const [first] = entries
  if (!first) return
  const key = streamKey(runId)
  const pipeline = redis.pipeline()
  let size = 0
  for (const { json, last } of packEvents(entries)) {
    if ((size += json.length) > MAX_RELEASED) break
    pipeline.xadd(key, `${last}-0`, 'e', json)
  }
  pipeline.xtrim(key, 'MINID', firstSeq(attemptOf(first.seq))).expire(key, RELEASED_SECONDS).exec().catch(() => {})
}

/** Encodes events into entries of a stream, each with the number of its last event. */
function * packEvents (entries: readonly Entry[]): Generator<{ json: string, last: number }> {
  let events: string[] = []
  let size = 0
  for (const [index, { seq, event }] of entries.entries()) {
    const json = JSON.stringify(event)
    events.push(json)
    size += json.length
    const next = entries[index + 1]
    if (next && size + weightOf(next) <= MAX_ENTRY) continue
    yield { json: `[${events.join()}]`, last: seq }
    events = []
    size = 0
  }
}

/** What an event adds to an entry, in characters. */
function weightOf ({ event }: Entry): number {
  return event.type === 'chunk' ? event.content.length : JSON.stringify(event).length
}

/** Decodes the events of an entry. */
export function unpackEvents ({ number: last, value }: StreamEntry): NumberedEvent[] {
  const events = JSON.parse(value) as RunEvent[]
  return events.map((event, index) => ({ seq: last - events.length + 1 + index, event }))
}

/**
 * Reads the events of a run's latest attempt from its stream; none if Redis has lost the beginning of the attempt.
 * @throws the error of Redis.
 */
export async function readLatestAttempt (redis: Redis, runId: string): Promise<NumberedEvent[]> {
  const entries = await redis.xrange(streamKey(runId), '-', '+')
  const stored = entries.flatMap(entry => unpackEvents(toEntry(entry)))
  const first = firstSeq(attemptOf(stored.at(-1)?.seq ?? 1))
  const events: NumberedEvent[] = []
  // An entry that was sent again repeats events.
  for (const one of stored) if (one.seq === first + events.length) events.push(one)
  return events
}
