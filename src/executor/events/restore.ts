import { firstSeq } from '#shared/event-number.ts'
import type { Run } from '#shared/schemas.ts'
import { eventsOf, type Trace } from '#shared/trace.ts'
import type { EventLog } from './event-log.js'

/** Puts the events of a finished run back into the log, with the numbers that they had. */
export function restore (log: EventLog, run: Run, trace: Trace | null): void {
  log.ingest(run.runId, firstSeq(run.attempt), eventsOf({ run, trace }))
}
