import { availableParallelism } from 'node:os'
import { setFlagsFromString } from 'node:v8'

/** A heap may grow by half of what lives in it before it is collected; left to itself V8 lets garbage be as much as all that lives. */
const HEAP_GROWTH = '--heap-growing-percent=50'

/**
 * On a single core the threads that mark beside this one take its place: each collection would be a turn of 20 to 50 ms
 * for all streams. Alone it marks in steps of a few.
 */
const MARK_ALONE = '--no-concurrent-marking'

/** Sets V8's garbage collector up for many streams; to be called before there is a heap to speak of. */
export function tuneCollector (): void {
  setFlagsFromString(HEAP_GROWTH)
  if (availableParallelism() === 1) setFlagsFromString(MARK_ALONE)
}
