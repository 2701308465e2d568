import type { StoredInput } from '#shared/database/runs.ts'
import type { Run, RunEvent } from '#shared/schemas.ts'
import type { AgentInput } from '../agent/agent-context.js'

/** A run that is to be attempted, with its input unless that is too large to be kept until the run has its slot. */
export interface Assignment extends Partial<AgentInput> {
  run: Run
  userId: string
  /** The size of input and steps as JSON, where the database has told it. */
  inputBytes?: number
  /** The events of this attempt that were emitted before it came here. */
  emitted?: readonly RunEvent[]
}

export type CompleteAssignment = Assignment & AgentInput

/** Whether nothing is to be read from the database. */
export function hasInput (assignment: Assignment): assignment is CompleteAssignment {
  return assignment.agent !== undefined && assignment.messages !== undefined
}

/** What an attempt needs while it waits, and from its end on. */
export function withoutInput ({ run, userId, inputBytes, kind }: Assignment): Assignment {
  return { run, userId, inputBytes, kind }
}

export function withInput (assignment: Assignment, { input, steps }: StoredInput): CompleteAssignment {
  return { ...assignment, ...input, steps }
}
