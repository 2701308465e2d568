declare const EdgeRuntime: { waitUntil (work: Promise<unknown>): void } | undefined

/** Fields of a request's log line beside the common ones. */
export interface LogFields {
  runId?: string
  agentId?: string
  userId?: string
  /** Which program runs it. */
  where?: 'edge' | 'backend'
  /** Of the error with which it was answered; the last two if it is for the caller to mend. */
  code?: string
  reason?: string
  address?: string
}

/** Writes one JSON line, which Supabase shows in the function's logs. It must not contain tokens, keys, secrets or texts of messages. */
export function log (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>): void {
  console[level](JSON.stringify({ level, message: `[AGENT-RUNTIME] ${message}`, ...fields }))
}

/** An error's name and message for the log. */
export function describe (error: unknown): string | undefined {
  return error instanceof Error ? `${error.name}: ${error.message}` : undefined
}

/** Keeps the isolate alive until the work is done, even after the request has been answered. */
export function keepAlive (work: Promise<unknown>, runId: string): void {
  const done = work.catch(error => log('error', 'work after the answer failed', { cause: describe(error), runId }))
  if (typeof EdgeRuntime !== 'undefined') EdgeRuntime.waitUntil(done)
}
