/**
 * Starts a clock of work: it stands while the machine has no processor for this process. All threads of the process
 * drive it, so that it is late for none of them.
 * @returns the milliseconds that have passed on it, never more than those on the wall.
 */
export function startWorkClock (): () => number {
  const startedAt = performance.now()
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return Math.min(performance.now() - startedAt, (user + system) / 1000)
  }
}
