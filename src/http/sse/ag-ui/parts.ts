import type { ContentEvent } from '../retelling.js'

/** An event of AG-UI. */
export type AgUiEvent = { type: string } & Record<string, unknown>

/** So many characters of a run's id make the ids of calls unique in a thread: a model may give the same ones in each run. */
const CALL_PREFIX = 8

/**
 * The messages, calls of tools and steps of one run, as events of AG-UI: which are open, and which calls have no result yet. Its clients
 * fail at a piece of what was not begun, and at a run that ends before what it has begun.
 */
export class AgUiParts {
  #open?: { type: 'text' | 'reasoning', id: string }
  #begun = 0
  #step?: string
  /** The assistant's message that the next call belongs to. */
  #message?: string
  #hasAny = false
  readonly #unanswered = new Set<string>()

  /** @param runId from which the ids of messages are made: they are the same whenever the run is told. */
  constructor (private readonly runId: string) {}

  /** Whether there is anything that could be taken back. */
  get hasAny (): boolean { return this.#hasAny }

  tell (event: ContentEvent): AgUiEvent[] {
    this.#hasAny ||= event.type !== 'step'
    switch (event.type) {
      case 'chunk': return this.#append('text', event.content)
      case 'reasoning': return this.#append('reasoning', event.content)
      case 'step': return this.#enterStep(`step ${event.step}`)
      case 'tool_call': return this.#call(event)
      case 'tool_result': return this.#result(event.id, event.error ?? event.result ?? '', event.error !== undefined)
    }
  }

  /** Closes what is open, and the step. */
  close (): AgUiEvent[] {
    const events = this.#closePart()
    if (this.#step) events.push({ type: 'STEP_FINISHED', stepName: this.#step })
    this.#step = this.#message = undefined
    return events
  }

  /** The same, and gives the calls that will have no result a sentence in its place: clients take them for their own to answer. */
  abandon (sentence: string): AgUiEvent[] {
    return [...this.#closePart(), ...[...this.#unanswered].flatMap(id => this.#result(id, sentence, true)), ...this.close()]
  }

  /** The same, of what is taken back: the client is to drop all messages of the run. */
  drop (): AgUiEvent[] {
    this.#hasAny = false
    this.#unanswered.clear()
    return this.close()
  }

  #append (type: 'text' | 'reasoning', delta: string): AgUiEvent[] {
    // Clients before 1.0 refuse a piece of nothing.
    if (delta === '') return []
    const events: AgUiEvent[] = []
    if (this.#open?.type !== type) {
      events.push(...this.#closePart())
      this.#open = { type, id: this.#nextId() }
      events.push(...opening(this.#open))
      // Older clients put a call into its message only where that is the last.
      this.#message = type === 'text' ? this.#open.id : undefined
    }
    events.push({ type: type === 'text' ? 'TEXT_MESSAGE_CONTENT' : 'REASONING_MESSAGE_CONTENT', messageId: this.#open.id, delta })
    return events
  }

  #enterStep (stepName: string): AgUiEvent[] {
    const events = this.close()
    this.#step = stepName
    return [...events, { type: 'STEP_STARTED', stepName }]
  }

  #call ({ id, name, arguments: input }: Extract<ContentEvent, { type: 'tool_call' }>): AgUiEvent[] {
    const toolCallId = this.#callId(id)
    const parentMessageId = this.#message ??= this.#nextId()
    this.#unanswered.add(id)
    return [
      ...this.#closePart(),
      { type: 'TOOL_CALL_START', toolCallId, toolCallName: name, parentMessageId },
      { type: 'TOOL_CALL_ARGS', toolCallId, delta: JSON.stringify(input ?? {}) },
      { type: 'TOOL_CALL_END', toolCallId }
    ]
  }

  #result (id: string, content: string, isError: boolean): AgUiEvent[] {
    if (!this.#unanswered.delete(id)) return []
    this.#message = undefined
    const event = { type: 'TOOL_CALL_RESULT', messageId: this.#nextId(), toolCallId: this.#callId(id), role: 'tool', content }
    return [...this.#closePart(), isError ? { ...event, metadata: { isError } } : event]
  }

  #closePart (): AgUiEvent[] {
    const open = this.#open
    this.#open = undefined
    if (!open) return []
    const messageId = open.id
    return open.type === 'text' ? [{ type: 'TEXT_MESSAGE_END', messageId }] : [{ type: 'REASONING_MESSAGE_END', messageId }, { type: 'REASONING_END', messageId }]
  }

  #nextId (): string { return `${this.runId}-${++this.#begun}` }

  #callId (id: string): string { return `${this.runId.slice(0, CALL_PREFIX)}:${id}` }
}

function opening ({ type, id: messageId }: { type: 'text' | 'reasoning', id: string }): AgUiEvent[] {
  if (type === 'text') return [{ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' }]
  return [{ type: 'REASONING_START', messageId }, { type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning' }]
}
