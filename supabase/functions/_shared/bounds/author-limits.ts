/**
 * How much an agent's author may write. What is larger is refused where it is written, by the triggers `bound_agent`,
 * `bound_function` and `bound_schedule`, which count bytes of UTF-8. Rows from before them are cut where they are read (fit-agent.ts), which
 * counts UTF-16 units: of these no text has more than bytes, so what the triggers admit is never cut.
 */
export const AUTHOR_LIMITS = {
  /** Functions of an agent: each takes time in a run, and its result takes room in the prompt. */
  functions: 100,
  agentName: 1_000,
  agentDescription: 10_000,
  model: 200,
  systemPrompt: 200_000,
  /** As JSON. */
  knowledgeBase: 1_000_000,
  functionName: 200,
  functionDescription: 4_000,
  functionType: 100,
  /** Trigger keywords of a function, and keywords of a condition. */
  keywords: 100,
  keyword: 100,
  /** A function's configuration with its templates and its schema, as JSON. */
  config: 200_000,
  /** The schema of a tool's arguments, as JSON. */
  parameters: 64_000,
  /** The prompt of a schedule. One that is longer is a fault of the schedule. */
  schedulePrompt: 100_000,
  /** A schedule's `output_config`, as JSON. Of a row that was larger before, up to 256 KiB are taken. */
  outputConfig: 200_000
} as const
