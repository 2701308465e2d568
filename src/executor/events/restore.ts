import { firstSeq } from '#shared/event-number.ts'
import { finalEvent } from '#shared/final-event.ts'
import type { Run } from '#shared/schemas.ts'
import { beginning, eventsOf, type Trace } from '#shared/trace.ts'
import type { EventLog } from './event-log.js'

/**
 * Puts a finished run back into the log, as it was told. Without a trace there is nothing left to tell but its end: it
 * was erased, or the database ended it itself, as an attempt that said nothing.
 */
export function restore (log: EventLog, run: Run, trace: Trace | null): void {
  const { runId, agentId, attempt, response } = run
  const events = trace ? eventsOf(trace, response) : beginning(runId, agentId, attempt)
  log.ingest(runId, firstSeq(attempt), [...events, finalEvent(run)])
}
