export const POLL_MS = 1_000

/** Calls `find` once a second. Returns undefined if it finds nothing by the deadline. */
export async function pollUntil<T> (deadline: number, find: () => Promise<T | undefined>): Promise<T | undefined> {
  for (;;) {
    // A database that is unavailable is asked again.
    const found = await find().catch(() => undefined)
    if (found || Date.now() + POLL_MS > deadline) return found
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
}

/** Waits, or until the signal is aborted. */
export function pause (ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
    if (signal.aborted) end()
    function end (): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
  })
}
