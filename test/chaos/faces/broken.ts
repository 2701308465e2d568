/** How long a program goes on asking before it gives up. */
export const PATIENCE_MS = 60_000
/** Between a connection that broke and the next try. */
export const PAUSE_MS = 300

/** Whether `fetch` says by an error that a connection could not be made, or broke; packages throw errors of their own with that as the cause. */
export function isBroken ({ name, message, cause }: Error): boolean {
  return (name === 'TypeError' && ['fetch failed', 'terminated', 'network error'].includes(message)) || (cause instanceof Error && isBroken(cause))
}
