import type { RunEvent } from '#shared/schemas.ts'
import type { AgUiReader } from '../../contract/ag-ui/messages.js'
import type { ResponseHead } from '../../contract/responses.js'
import type { UiReader } from '../../contract/ui-messages.js'
import type { Encoder, Entry } from '../../executor/events/event-log.js'

/** The run that is streamed, as far as a format needs it. */
export interface StreamedRun {
  readonly runId: string
  readonly agentId: string
  /** ISO 8601. */
  readonly createdAt: string
  /** As a response of OpenAI's API, and the last number of it that the client has. */
  readonly asResponse?: { readonly head: ResponseHead, readonly startingAfter?: number }
  /** How a page of the AI SDK is told it. */
  readonly ui?: UiReader
  /** How a client of AG-UI is told it. */
  readonly agUi?: AgUiReader
}

/** The run's events up to a number, as far as the log has them: those of one attempt. */
export type History = (last: number) => readonly Entry[]

/** How a run's events are written to a client. */
export interface StreamFormat {
  /**
   * Whether a reader that does not know `rewind` may be told another text after a mark. Where a client takes all text for one
   * answer, the stream ends with an error instead.
   */
  readonly hasMarks: boolean
  readonly headers: Readonly<Record<string, string>>
  /**
   * Encodes an event as a chunk of HTTP's chunked transfer coding, once for all readers of the format; as nothing, if the
   * format cannot say it.
   */
  readonly encode: Encoder
  /** Encodes an event without the transfer coding, for a client of HTTP/1.0. */
  encodePlain (seq: number, event: RunEvent, runId: string): string
  /** What a reader is told before any event. */
  readonly opening?: string
  /** Whether the stream has ended with an error of the format's own: nothing may follow. */
  readonly hasFailed?: boolean
  /** What keeps a quiet stream open. */
  readonly ping: string
  /** The end of a stream whose run has ended. */
  readonly end: string
  /** The end of a stream whose run goes on. @param after the number of the last event that was sent. */
  encodeReconnect (after: number): string
  /** The same for a reader that does not know `reconnect`. */
  encodeCutOff (runId: string): string
  /**
   * For clients that take every clean end for that of the answer: whether one would be right now. Until what was sent is `whole` the
   * connection ends by being cut, without a word; at once if it is `broken`, for what was sent is no longer what the run says.
   */
  state? (): 'open' | 'whole' | 'broken'
  /** The log is about to lose the events up to `cursor`, which were sent. */
  replacing? (cursor: number): void
}
