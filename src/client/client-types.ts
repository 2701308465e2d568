/** A message of the conversation, in the shape of OpenAI's chat completions. */
export interface Message {
  role: 'user' | 'assistant' | 'system' | 'developer' | 'tool'
  content?: string | ContentPart[] | null
  name?: string | null
  tool_calls?: ToolCall[] | null
  tool_call_id?: string | null
}

export type ContentPart = { type: 'text', text: string } | { type: 'image_url', image_url: { url: string, detail?: string } }

export interface ToolCall { id: string, type?: 'function', function: { name: string, arguments: string } }

export interface Usage { promptTokens: number, completionTokens: number, totalTokens: number, estimated: boolean }

/** An event of a run without its number. docs/reference/events.md says what each means. */
export type RunEvent =
  | { type: 'queued', runId: string, position: number }
  | { type: 'started', runId: string, agentId: string, attempt: number }
  | { type: 'chunk', content: string }
  | { type: 'reasoning', content: string }
  | { type: 'progress', fraction?: number, message?: string }
  | { type: 'rewind', to: number }
  | { type: 'step', step: number }
  | { type: 'tool_call', id: string, name: string, arguments: unknown }
  | { type: 'tool_result', id: string, name: string, result?: string, error?: string }
  | { type: 'retry', code: string, delayMs: number, model?: string }
  | { type: 'done', response: string, executionTime: number, runId: string, usage: Usage, creditsUsed: number, finishReason: string | null, cached?: boolean }
  | { type: 'error', error: string, code: string, runId: string, retryable: boolean }
  | { type: 'cancelled', runId: string, creditsUsed: number }

/** `seq` counts up within a run: with it and the run's id the run can be picked up anywhere. */
export type NumberedEvent = RunEvent & { seq: number }

interface CommonOptions {
  /** The service, such as `https://agents.example.com`. */
  url: string
  /** An access token or an API key; or a function that is asked for one before each connection, and again after one was refused. */
  token: string | (() => string | Promise<string>)
  /** How the events come. Both resume alike; `sse` by default. */
  transport?: 'sse' | 'websocket'
  /** Cancels the run, whose last event is then `cancelled`. Who only wants to stop watching leaves the loop: the run goes on. */
  signal?: AbortSignal
  /** For how many milliseconds a service that is not there is asked again and again, before its last failure is thrown; 300,000 by default. */
  patience?: number
  /** In place of the globals of the same names; Node 20 has no WebSocket of its own. */
  fetch?: typeof fetch
  WebSocket?: new (url: string, protocols: string[]) => unknown
}

/** A run to begin. */
export interface BeginOptions extends CommonOptions {
  agentId: string
  messages: Message[]
  /** As in OpenAI's chat completions; by SSE alone. */
  responseFormat?: { type: 'text' | 'json_object' | 'json_schema', json_schema?: object }
  /** Makes repeated calls one run; a new one by default, so that a connection that breaks begins no second run. */
  idempotencyKey?: string
}

/** A run to go on with: the events after `after`, or all. */
export interface ResumeOptions extends CommonOptions {
  runId: string
  after?: number
}

export type RunOptions = BeginOptions | ResumeOptions

/** A run that is watched. Its events can be read once. */
export interface Run extends AsyncIterable<NumberedEvent> {
  /** Its `return`, as of who leaves the loop, waits for no event. */
  [Symbol.asyncIterator] (): AsyncGenerator<NumberedEvent, void, void>
  /** Known from the service's first answer on. */
  readonly runId: string | undefined
  /** The number of the last event, from which `run({ runId, after })` goes on. */
  readonly after: number
  /** Cancels the run. Does nothing if it has ended, or is not known yet. @throws {JeesiError} if the service refuses it. */
  cancel (): Promise<void>
}
