import type { TraceContext } from '#shared/traces/trace-context.ts'

export { ToolError } from '#shared/functions/tool-error.ts'

/** The run that calls a tool. */
export interface ToolContext {
  readonly runId: string
  readonly agentId: string
  readonly userId: string
  /** Aborted when the run is cancelled or its attempt is abandoned. */
  readonly signal: AbortSignal
  /** The trace that requests hand on. */
  readonly trace?: TraceContext
}

/** A tool that a model may call. */
export interface Tool {
  /** 1 to 64 of `[a-zA-Z0-9_-]`. */
  readonly name: string
  readonly description: string
  /** The JSON Schema of the arguments object. Arguments are checked against it before a call. */
  readonly parameters: object
  /**
   * @returns the result for the model, in full: the tool step cuts it to `MAX_RESULT_CHARACTERS`.
   * @throws {ToolError} with a sentence for the model; the model learns of any other error without its details.
   */
  call (args: Record<string, unknown>, context: ToolContext): Promise<string>
}
