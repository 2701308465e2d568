import { availableParallelism } from 'node:os'
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics, setFlagsFromString } from 'node:v8'

const { NODE_PERFORMANCE_GC_MAJOR: MAJOR } = constants

/**
 * How much garbage may gather before it is collected, in percent of the live heap: by default V8 lets a large heap double.
 * A small heap may have LEAST_BYTES of garbage, since frequent collections cost more than that memory. The flag governs
 * the collection after next: a heap that grows meanwhile may overshoot once.
 */
const LEAST_PERCENT = 50
const MOST_PERCENT = 200
const LEAST_BYTES = 48 * 1024 * 1024

/**
 * Without a core to spare, concurrent marking threads compete with this one: each collection would stop all streams for 20 to
 * 50 ms. Without them V8 marks in steps of a few milliseconds.
 */
const MARK_ALONE = '--no-concurrent-marking'

/**
 * Tunes V8's garbage collector for many streams, again after every major collection. Called once, at the start.
 * @param processes those that share the machine's cores.
 */
export function tuneCollector (processes: number): void {
  if (availableParallelism() <= processes) setFlagsFromString(MARK_ALONE)
  boundGarbage()
  new PerformanceObserver(list => {
    if (list.getEntries().some(isMajor)) boundGarbage()
  }).observe({ entryTypes: ['gc'] })
}

function isMajor ({ detail }: PerformanceEntry & { detail?: { kind: number } }): boolean {
  return detail?.kind === MAJOR
}

/** Right after a collection the used heap is the live heap. */
function boundGarbage (): void {
  const percent = Math.round(LEAST_BYTES / getHeapStatistics().used_heap_size * 100)
  setFlagsFromString(`--heap-growing-percent=${Math.min(MOST_PERCENT, Math.max(LEAST_PERCENT, percent))}`)
}
