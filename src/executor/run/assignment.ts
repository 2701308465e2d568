import type { StoredInput } from '#shared/database/runs.ts'
import { fitAgent } from '#shared/bounds/fit-agent.ts'
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
export function withoutInput ({ run, userId, inputBytes, kind, traceContext }: Assignment): Assignment {
  return { run, userId, inputBytes, kind, traceContext }
}

export function withInput (assignment: Assignment, { input, steps }: StoredInput): CompleteAssignment {
  return { ...assignment, ...input, steps }
}

/** The input with its agent within the bounds of authors: the agent's rows may be older than those. @param onCut takes the names of the columns that were cut. */
export function withFitAgent (assignment: CompleteAssignment, onCut: (columns: readonly string[]) => void): CompleteAssignment {
  const { agent, cut } = fitAgent(assignment.agent)
  if (cut.length > 0) onCut(cut)
  return agent === assignment.agent ? assignment : { ...assignment, agent }
}
