import { getHeapStatistics } from 'node:v8'
import { MemoryShare } from './memory-share.js'

/** Parts of the heap. The rest is the program's own, and what is too small to be counted. */
const ARRIVING = 0.3
const RUNS = 0.25
const EVENTS = 0.15
const MAX_EVENT_BYTES = 256 * 1024 * 1024

/** The memory of a process, by what it is for. */
export interface MemoryBudget {
  /** Bodies and messages that are read, parsed, hashed and written. */
  readonly arriving: MemoryShare
  /** Large inputs of runs under way, with what is sent to models. */
  readonly runs: MemoryShare
  /** Bytes that the events of all runs may take. */
  readonly eventBytes: number
}

/** @param heapBytes what V8 may use: `--max-old-space-size`, and a little more for young objects. */
export function createMemoryBudget (heapBytes = getHeapStatistics().heap_size_limit): MemoryBudget {
  return {
    arriving: new MemoryShare(ARRIVING * heapBytes),
    runs: new MemoryShare(RUNS * heapBytes),
    eventBytes: Math.min(MAX_EVENT_BYTES, EVENTS * heapBytes)
  }
}

/** Bytes; what is smaller is not counted, since its number is limited: it never waits for what large ones hold. */
export const UNCOUNTED_BODY = 64 * 1024
/**
 * How many times its bytes a body takes at most: as text, as values, as the text that is hashed, as the one that is
 * written. With a single character beyond Latin-1 each has two bytes a character.
 */
export const BODY_COST = 6
/** Bytes; the database returns an agent or an input up to here without being asked for it. */
export const INLINE_INPUT = 64 * 1024
/** Bytes; an input up to here is kept while its run waits, and is not counted. */
export const KEPT_INPUT = 16 * 1024
/** How many times its bytes an input takes while its run is under way: as read, as values, as the request to the model. */
export const INPUT_COST = 3
