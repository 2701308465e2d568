import { firstSeq } from '#shared/event-number.ts'
import { finalEvent } from '#shared/final-event.ts'
import type { Run } from '#shared/schemas.ts'
import { beginning, eventsOf, type Trace } from '#shared/trace.ts'
import type { EventLog } from './event-log.js'

/**
 * Puts the events of an ended run back into the log, as they were emitted. Without a trace, which was erased or never
 * written because the database ended the run itself, only the first events and the final one are restored.
 */
export function restore (log: EventLog, run: Run, trace: Trace | null): void {
  const { runId, agentId, attempt, response } = run
  const events = trace ? eventsOf(trace, response) : beginning(runId, agentId, attempt)
  log.ingest(runId, firstSeq(attempt), [...events, finalEvent(run)])
}
