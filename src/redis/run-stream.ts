import type { Redis } from 'ioredis'
import { attemptOf, firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { Entry } from '../executor/events/event-log.js'
import { streamKey } from './keys.js'
import { type StreamEntry, toEntry } from './stream-reader.js'

/**
 * The format of a run's stream. An entry holds consecutive events of one attempt as a JSON array in its field `e`. Its id is
 * `<number of the last event>-0`: Redis takes ids in ascending order only, so it refuses the events of an attempt once a
 * later attempt has written any.
 */

/** How long a stream lives after its last renewal, in seconds. */
export const STREAM_SECONDS = 3600
/** The size of an entry at the most, in characters of JSON; one event that is larger has an entry of its own. */
const MAX_ENTRY = 64 * 1024

type NumberedEvent = Pick<Entry, 'seq' | 'event'>

/** Encodes the first of the given events, as many as an entry may hold. `count` is how many these are. */
export function packEvents (entries: readonly Entry[]): { json: string, count: number } {
  const events: string[] = []
  let size = 0
  for (const { event } of entries) {
    const json = JSON.stringify(event)
    if (size > 0 && size + json.length > MAX_ENTRY) break
    events.push(json)
    size += json.length
  }
  return { json: `[${events.join()}]`, count: events.length }
}

/** Decodes the events of an entry. */
export function unpackEvents ({ number: last, value }: StreamEntry): NumberedEvent[] {
  const events = JSON.parse(value) as RunEvent[]
  return events.map((event, index) => ({ seq: last - events.length + 1 + index, event }))
}

/**
 * Reads the events of a run's latest attempt from Redis; none if Redis has lost the beginning of the attempt.
 * @param maxEntries reads only so many entries from the beginning of the stream.
 * @throws the error of Redis.
 */
export async function readLatestAttempt (redis: Redis, runId: string, maxEntries?: number): Promise<NumberedEvent[]> {
  const key = streamKey(runId)
  const entries = await (maxEntries === undefined ? redis.xrange(key, '-', '+') : redis.xrange(key, '-', '+', 'COUNT', maxEntries))
  const stored = entries.flatMap(entry => unpackEvents(toEntry(entry)))
  const first = firstSeq(attemptOf(stored.at(-1)?.seq ?? 1))
  const events: NumberedEvent[] = []
  // An entry that was sent again repeats events.
  for (const one of stored) if (one.seq === first + events.length) events.push(one)
  return events
}
