import type { SettledRun } from '#shared/database/functions.ts'
import type { EmittedEvents, StepRecord, StoredInput } from '#shared/database/runs.ts'
import type { RunFailure } from '#shared/errors.ts'
import type { GatewayFailure } from '#shared/gateway/failure.ts'
import type { Run } from '#shared/schemas.ts'
import type { Trace } from '#shared/trace.ts'
import type { Reservation, StepSummary } from '../agent/agent-context.js'

/** How an attempt ended, to be settled. */
export interface Result {
  status: 'succeeded' | 'failed' | 'cancelled'
  response: string
  finishReason: string | null
  usage: Run['usage']
  credits: number
  model: string | null
  error: RunFailure | null
  /** Why the gateway failed, try by try. */
  failures?: readonly GatewayFailure[]
  /** Null where it could not be written. */
  trace: Trace | null
}

export interface RecordedStep {
  number: number
  summary: StepSummary
  record: StepRecord
  credits: number
  /** The events since the step before, with the number of the first; readers that have only the database get them. */
  emitted: EmittedEvents
}

/** What attempts write to the database, and read from it. Every method throws `stale_attempt` where another process has the run. */
export interface RunStore {
  start (runId: string, attempt: number): Promise<void>
  /** Reads what the attempt is made with, if that was too large to be kept until its turn. */
  readInput (runId: string, attempt: number): Promise<StoredInput>
  /** Records a step. Resolves to what is reserved for the run, as far as the user's balance allows. */
  record (runId: string, attempt: number, step: RecordedStep): Promise<Reservation>
  finish (runId: string, attempt: number, result: Result): Promise<SettledRun>
}
