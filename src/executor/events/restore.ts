import { firstSeq } from '#shared/event-number.ts'
import type { Run } from '#shared/schemas.ts'
import { eventsOf, type Trace } from '#shared/trace.ts'
import type { EventLog } from './event-log.js'

/**
 * Puts the events of an ended run back into the log, as they were emitted. Without a trace, which was erased or never
 * written because the database ended the run itself, only the first events and the final one are restored.
 */
export function restore (log: EventLog, run: Run, trace: Trace | null): void {
  log.ingest(run.runId, firstSeq(run.attempt), eventsOf({ run, trace }))
}
