import { errors, type ServiceError, restoreError } from '#shared/errors.ts'
import { attemptOf } from '#shared/event-number.ts'
import type { FinalEvent, RunEvent } from '#shared/schemas.ts'
import type { NumberedEvent } from '#shared/trace.ts'
import { toUiFinishReason, type UiProtocol, type UiReader } from '../../contract/ui-messages.js'
import type { History, StreamedRun } from './format.js'
import { contentOf, type ContentEvent, findPast, isContent, joined, Retelling, textLengthOf } from './retelling.js'
import { type UiChunk, UiParts } from './ui-parts.js'

/** What the versions know. `workflow` is the transport that resumes by the number of chunks that it has: see `UiEncoder`. */
const KNOWS: Record<UiProtocol, { steps: boolean, reset: boolean, finishReason: boolean }> = {
  5: { steps: true, reset: false, finishReason: false },
  6: { steps: true, reset: false, finishReason: true },
  7: { steps: true, reset: true, finishReason: true },
  workflow: { steps: false, reset: true, finishReason: true }
}

/**
 * Tells the events of a run as the AI SDK's UI message stream, from the first on.
 *
 * A page that has some chunks already says how many. Their number depends on the events alone, not on their texts, so that what is
 * restored after the run's end counts the same. It means nothing any more once another attempt has begun, or if the events are gone:
 * then everything is told anew, behind a chunk that drops what the page has. That chunk reaches back to the last boundary of a step,
 * which is why such a page is told no steps. The same chunk stands at the beginning, since a page that asks from there on may show
 * the message already, whole or in part, and would append to it.
 */
export class UiEncoder {
  readonly #knows: typeof KNOWS[UiProtocol]
  readonly #parts: UiParts
  #frames = ''
  /** How many chunks there were, and how many of them the page has. */
  #count = 0
  #had: number
  /** The attempt whose events are told; 0 before the first event. */
  #attempt = 0
  /** The length of the response that the events add up to, in UTF-16 units. */
  #length = 0
  #retelling?: Retelling
  /** Whether an event was taken back before the page came, which is told nothing of it; and whether it is a rewind of that time. */
  #isPast: (seq: number, event: RunEvent) => boolean = () => false
  /** The events up to `cursor` that were told, which the log has no longer, or without their texts. */
  #kept?: { cursor: number, events: NumberedEvent[] }
  #state: 'open' | 'whole' | 'broken' = 'open'

  constructor (private readonly run: StreamedRun, private readonly history: History, { protocol, startIndex }: UiReader) {
    this.#knows = KNOWS[protocol]
    this.#parts = new UiParts(this.#knows.steps)
    this.#had = startIndex
  }

  /** Whether the message has its end, or cannot get it here. */
  get state (): 'open' | 'whole' | 'broken' { return this.#state }

  encode (seq: number, event: RunEvent): string {
    this.#frames = ''
    const attempt = attemptOf(seq)
    if (attempt !== this.#attempt) this.#enterAttempt(attempt)
    if (this.#state === 'open' && !this.#isPast(seq, event)) this.#take(seq, event)
    return this.#frames
  }

  /** The events up to `cursor` are about to be lost. */
  replacing (cursor: number): void {
    if (this.#knows.steps && !this.#retelling) this.#kept = { cursor, events: this.#toldUntil(cursor) }
  }

  #toldUntil (last: number): NumberedEvent[] {
    const { cursor, events } = this.#kept ?? { cursor: 0, events: [] }
    return [...events, ...this.history(last).filter(({ seq }) => seq > cursor)]
  }

  #enterAttempt (attempt: number): void {
    const isFirst = this.#attempt === 0
    this.#attempt = attempt
    if (isFirst && this.#knows.steps && this.#had === 0) this.#isPast = findPast(this.history(Infinity))
    if (isFirst) this.#say({ type: 'start', messageId: this.run.runId, messageMetadata: { runId: this.run.runId, agentId: this.run.agentId } })
    if (isFirst && !this.#knows.steps) this.#say(...this.#parts.drop())
    if (isFirst ? attempt > 1 && this.#had > 0 : this.#had > this.#count) this.#loseCount()
  }

  #take (seq: number, event: RunEvent): void {
    if (isContent(event)) return this.#tell(event)
    switch (event.type) {
      case 'started': return
      case 'queued': return this.#progress({ type: event.type, position: event.position })
      case 'progress':
      case 'retry': return this.#progress(event)
      case 'rewind': return this.#rewind(seq, event.to)
      default: return this.#end(seq, event)
    }
  }

  /** Only `onData` is given it: it is no part of the message. */
  #progress (data: object): void {
    this.#say({ type: 'data-progress', data, transient: true })
  }

  #tell (event: ContentEvent): void {
    if (event.type === 'chunk') this.#length += event.content.length
    const rest = this.#retelling ? this.#retelling.match(event) : event
    if (rest === undefined) return this.#startOver()
    if (rest === null) return
    this.#retelling = undefined
    this.#say(...this.#parts.tell(rest))
  }

  #rewind (seq: number, to: number): void {
    const left = contentOf(this.history(seq - 1), to)
    this.#length = textLengthOf(left)
    if (!this.#knows.steps) {
      if (this.#parts.hasAny) this.#tellAgain(left)
    } else if (this.#had > this.#count) {
      // How many chunks a rewind takes depends on the texts: such a page cannot be told from the middle on.
      this.#loseCount()
    } else {
      this.#retelling = this.#retelling?.again() ?? Retelling.of(contentOf(this.#toldUntil(seq - 1)))
      for (const event of left) this.#retelling.match(event)
    }
    this.#kept = undefined
  }

  /** The run has told something else than before. */
  #startOver (): void {
    const { isInLastStep, step } = this.#retelling!
    this.#retelling = undefined
    if (this.#knows.reset && isInLastStep) this.#tellAgain(step)
    else this.#state = 'broken'
  }

  #tellAgain (events: readonly ContentEvent[]): void {
    this.#say(...this.#parts.drop())
    for (const event of joined(events)) this.#say(...this.#parts.tell(event))
  }

  /** It is not known what the page has: it drops everything, if it can. */
  #loseCount (): void {
    this.#had = 0
    if (!this.#knows.steps) return this.#say(...this.#parts.drop())
    // The end of a part that the page may not have would be an error of its own.
    this.#parts.close()
    this.#fail(errors.answerChanged())
  }

  #end (seq: number, event: FinalEvent): void {
    if (event.type === 'done') return this.#finish(seq, event)
    const { runId } = this.run
    if (event.type === 'error') return this.#fail(restoreError(event.code, event.error), event.retryable)
    this.#had = 0
    this.#say(...this.#parts.close(), { type: 'abort' }, { type: 'finish', messageMetadata: { runId, status: 'cancelled', creditsUsed: event.creditsUsed } })
    this.#state = 'whole'
  }

  #finish (seq: number, { type, response, finishReason, ...metadata }: Extract<FinalEvent, { type: 'done' }>): void {
    const missing = response.slice(this.#length)
    // Without its events a run is told as one piece of text; or the texts are gone.
    const isCountLost = this.#had > 0 && (missing !== '' || this.#had > this.#count + this.#parts.toClose)
    if (isCountLost && response === '') return this.#fail(errors.connectionEnded())
    if (isCountLost) {
      this.#loseCount()
      if (this.#state === 'open') this.#say(...joined(contentOf(this.history(seq - 1))).flatMap(event => this.#parts.tell(event)))
    }
    if (missing !== '' && this.#state === 'open') this.#tell({ type: 'chunk', content: missing })
    if (this.#retelling && !this.#retelling.isOver) this.#startOver()
    if (this.#state !== 'open') return
    this.#say(...this.#parts.close())
    this.#had = 0
    const reason = this.#knows.finishReason ? { finishReason: toUiFinishReason(finishReason) } : {}
    this.#say({ type: 'finish', ...reason, messageMetadata: { ...metadata, finishReason, status: 'succeeded' } })
    this.#state = 'whole'
  }

  /** The client throws the sentence, and reads no further; the code stays with the message. */
  #fail (error: ServiceError, isRetryable = error.isRetryable): void {
    this.#had = 0
    this.#say(
      ...this.#parts.close(),
      { type: 'message-metadata', messageMetadata: { runId: this.run.runId, status: 'failed', error: { code: error.code, retryable: isRetryable } } },
      { type: 'error', errorText: error.message },
      { type: 'finish' }
    )
    this.#state = 'whole'
  }

  #say (...chunks: UiChunk[]): void {
    for (const chunk of chunks) if (++this.#count > this.#had) this.#frames += `data: ${JSON.stringify(chunk)}\n\n`
  }
}
