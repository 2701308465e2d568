/** What a tool needs to know of the run that calls it. */
export interface ToolContext {
  readonly runId: string
  readonly agentId: string
  readonly userId: string
  /** Aborted when the run is cancelled, lost or let go of. */
  readonly signal: AbortSignal
}

/** Something that a model may call. */
export interface Tool {
  /** As models take names: `[a-zA-Z0-9_-]`, 1 to 64 of them. */
  readonly name: string
  readonly description: string
  /** JSON Schema of the arguments: of an object. The arguments are checked against it before a call. */
  readonly parameters: object
  /**
   * @returns the result for the model, in full: the tool step cuts it to `MAX_RESULT_CHARACTERS`.
   * @throws {ToolError} with a sentence for the model; the model learns of any other error without its details.
   */
  call (args: Record<string, unknown>, context: ToolContext): Promise<string>
}

/** A tool could not do what it was asked to; the sentence is for the model, and for the run's readers. */
export class ToolError extends Error {}
