import { availableParallelism } from 'node:os'
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'

const { NODE_PERFORMANCE_GC_MAJOR: MAJOR } = constants

/**
 * Garbage may be half of what lives before it is collected: left to itself V8 lets a large heap grow by as much as all
 * that lives. A small one may have more of it, up to so many bytes: many collections are dearer than the memory. What is
 * set after a collection governs the next one, so that a heap which has grown meanwhile may overshoot once.
 */
const LEAST_PERCENT = 50
const MOST_PERCENT = 200
const LEAST_BYTES = 48 * 1024 * 1024

/**
 * On a single core the threads that mark beside this one take its place: each collection would be a turn of 20 to 50 ms
 * for all streams. Alone it marks in steps of a few.
 */
const MARK_ALONE = '--no-concurrent-marking'

/** Sets V8's garbage collector up for many streams, and anew as their number changes; to be called once, at the start. */
export function tuneCollector (): void {
  if (availableParallelism() === 1) setFlagsFromString(MARK_ALONE)
  boundGarbage()
  new PerformanceObserver(list => {
    if (list.getEntries().some(isMajor)) boundGarbage()
  }).observe({ entryTypes: ['gc'] })
}

function isMajor ({ detail }: PerformanceEntry & { detail?: { kind: number } }): boolean {
  return detail?.kind === MAJOR
}

/** After a collection what is used is what lives. */
function boundGarbage (): void {
  const percent = Math.round(LEAST_BYTES / getHeapStatistics().used_heap_size * 100)
  setFlagsFromString(`--heap-growing-percent=${Math.min(MOST_PERCENT, Math.max(LEAST_PERCENT, percent))}`)
}
