import type { Run, RunEvent } from '#shared/schemas.ts'
import type { Trace } from '#shared/trace.ts'
import type { StepSummary } from '../agent/agent-context.js'
import type { StepRecord } from '../agent/step-record.js'

/** How a run ended, to be settled. */
export interface Result {
  status: 'succeeded' | 'failed' | 'cancelled'
  response: string
  finishReason: string | null
  usage: Run['usage']
  credits: number
  model: string | null
  error: Run['error']
  /** Null: it could not be written down. */
  trace: Trace | null
}

export interface RecordedStep {
  number: number
  summary: StepSummary
  record: StepRecord
  credits: number
  /** The events since the step before, with the number of the first, for readers that have only the database. */
  emitted: { first: number, events: RunEvent[] }
}

/** What attempts ask of the database. All throw `stale_attempt` where another process has the run. */
export interface RunStore {
  start (runId: string, attempt: number): Promise<void>
  /** Writes down a step; false: the user's balance does not allow what the run may cost by the end of the next. */
  record (runId: string, attempt: number, step: RecordedStep): Promise<boolean>
  finish (runId: string, attempt: number, result: Result): Promise<Run>
}
