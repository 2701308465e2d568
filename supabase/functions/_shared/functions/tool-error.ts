/** A tool or function failed. The message is a sentence for the model and the run's readers. */
export class ToolError extends Error {}
