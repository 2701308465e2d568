declare const EdgeRuntime: { waitUntil (work: Promise<unknown>): void } | undefined

/** One JSON line, which Supabase shows in the function's logs. No token, key, secret or text of a message belongs in it. */
export function log (level: 'info' | 'error', message: string, fields: Record<string, unknown>): void {
  console[level](JSON.stringify({ level, message: `[AGENT-RUNTIME] ${message}`, ...fields }))
}

/** What went wrong, without what was said. */
export function describe (error: unknown): string | undefined {
  return error instanceof Error ? `${error.name}: ${error.message}` : undefined
}

/** Work that goes on when its request has been answered: the isolate stays until it is done. */
export function keepAlive (work: Promise<unknown>, runId: string): void {
  const done = work.catch(error => log('error', 'work after the answer failed', { cause: describe(error), runId }))
  if (typeof EdgeRuntime !== 'undefined') EdgeRuntime.waitUntil(done)
}
