import { errors, restoreError, type ServiceError } from '#shared/errors.ts'
import type { FinalEvent, RunEvent, Usage } from '#shared/schemas.ts'
import { type AgUiReader, MAX_HELD_MESSAGES } from '../../../contract/ag-ui/messages.js'
import type { History, StreamedRun } from '../format.js'
import { contentOf, type ContentEvent, findPast, isContent, joined, textLengthOf } from '../retelling.js'
import { type AgUiEvent, AgUiParts } from './parts.js'

/**
 * Tells the events of a run as those of AG-UI, from the first on. What is taken back is said by all messages without those of the run,
 * for which the conversation before it is needed; then what is left of the answer is told anew.
 */
export class AgUiEncoder {
  readonly #parts: AgUiParts
  readonly #names: { threadId: string, runId: string }
  /** Whether the client speaks 1.0, or a later version. */
  readonly #isOfVersion1: boolean
  readonly #hasReasoning: boolean
  /** The conversation before the answer. A long one, which the client is told first, is dropped then. */
  #messages?: string
  #frames = ''
  /** The length of the response that the events add up to, in UTF-16 units. */
  #length = 0
  /** Whether an event was taken back before the client came, which is told nothing of it; and whether it is a rewind of that time. */
  #isPast?: (seq: number, event: RunEvent) => boolean
  #isOver = false

  constructor (runId: string, private readonly history: History, { threadId, runId: name, protocolVersion, messages, hasReasoning }: AgUiReader) {
    this.#parts = new AgUiParts(runId)
    this.#names = { threadId, runId: name }
    this.#isOfVersion1 = protocolVersion !== undefined
    this.#hasReasoning = hasReasoning
    this.#messages = messages
  }

  /** Whether the client was told an end of the run: nothing may follow. */
  get isOver (): boolean { return this.#isOver }

  /**
   * What the client is told before any event of the run.
   * @param hasMessages whether that is the conversation too.
   */
  open ({ runId, agentId }: Pick<StreamedRun, 'runId' | 'agentId'>, hasMessages: boolean): string {
    const started = frame({ type: 'RUN_STARTED', ...this.#names, ...(this.#isOfVersion1 ? { protocolVersion: '1.0' } : {}), metadata: { runId, agentId } })
    return hasMessages && this.#messages !== undefined ? started + snapshot(this.#messages) : started
  }

  encode (seq: number, event: RunEvent): string {
    this.#frames = ''
    this.#isPast ??= this.#begin()
    if (!this.#isOver && !this.#isPast(seq, event)) this.#take(seq, event)
    return this.#frames
  }

  /** The end of a stream whose run goes on. A clean end without a word would be one of the run. */
  cutOff (): string {
    this.#frames = ''
    if (!this.#isOver) this.#fail(errors.connectionEnded())
    return this.#frames
  }

  #begin (): (seq: number, event: RunEvent) => boolean {
    if (this.#messages && this.#messages.length > MAX_HELD_MESSAGES) this.#messages = undefined
    return findPast(this.history(Infinity))
  }

  #take (seq: number, event: RunEvent): void {
    if (isContent(event)) return this.#tell(event)
    switch (event.type) {
      case 'started': return
      case 'queued': return this.#progress({ type: event.type, position: event.position })
      case 'progress':
      case 'retry': return this.#progress(event)
      case 'rewind': return this.#rewind(seq, event.to)
      default: return this.#end(event)
    }
  }

  #progress (value: object): void {
    this.#say({ type: 'CUSTOM', name: 'progress', value })
  }

  #tell (event: ContentEvent): void {
    if (event.type === 'chunk') this.#length += event.content.length
    if (event.type !== 'reasoning' || !this.#hasReasoning) this.#say(...this.#parts.tell(event))
  }

  #rewind (seq: number, to: number): void {
    const events = this.history(seq - 1)
    const left = contentOf(events, to)
    // Everything is taken back by an attempt that does not know what the one before it has told.
    const isEmpty = to > 0 && left.length === contentOf(events).length
    this.#length = textLengthOf(left)
    if (isEmpty || !this.#parts.hasAny) return
    if (this.#messages === undefined) return this.#fail(errors.answerChanged())
    this.#say(...this.#parts.drop())
    this.#frames += snapshot(this.#messages)
    for (const event of joined(left)) this.#say(...this.#parts.tell(event))
  }

  #end (event: FinalEvent): void {
    if (event.type === 'done') return this.#finish(event)
    if (event.type === 'error') return this.#fail(restoreError(event.code, event.error))
    // Clients before 1.0 know no such outcome, and would take a run that finishes for one that has succeeded.
    if (!this.#isOfVersion1) return this.#fail(errors.runCancelled())
    this.#isOver = true
    this.#say(...this.#parts.abandon(errors.runCancelled().message), {
      type: 'RUN_FINISHED', ...this.#names, outcome: { type: 'cancelled' }, metadata: { runId: event.runId, creditsUsed: event.creditsUsed }
    })
  }

  #finish ({ type, response, ...result }: Extract<FinalEvent, { type: 'done' }>): void {
    // Without its events a run is told as one piece of text.
    const missing = response.slice(this.#length)
    if (missing !== '') this.#tell({ type: 'chunk', content: missing })
    this.#isOver = true
    this.#say(...this.#parts.close(), { type: 'RUN_FINISHED', ...this.#names, result, usage: [toTokens(result.usage)] })
  }

  #fail ({ code, message }: ServiceError): void {
    this.#isOver = true
    this.#say(...this.#parts.abandon(message), { type: 'RUN_ERROR', message, code })
  }

  #say (...events: AgUiEvent[]): void {
    for (const event of events) this.#frames += frame(event)
  }
}

function frame (event: AgUiEvent): string {
  return `data: ${JSON.stringify(event)}\n\n`
}

function snapshot (messages: string): string {
  return `data: {"type":"MESSAGES_SNAPSHOT","messages":${messages}}\n\n`
}

function toTokens ({ promptTokens, completionTokens, totalTokens }: Usage) {
  return { inputTokens: promptTokens, outputTokens: completionTokens, totalTokens }
}
