import type { ContentEvent } from './retelling.js'

/** A chunk of the AI SDK's UI message stream. */
export type UiChunk = { type: string } & Record<string, unknown>

/**
 * The parts of one message of the AI SDK, as chunks: which are open, and which tools were called. Its clients throw at a piece of a
 * part that was not begun, and at the result of a call that they do not know.
 */
export class UiParts {
  #open?: { type: 'text' | 'reasoning', id: string }
  #begun = 0
  #isInStep = false
  #hasAny = false
  readonly #calls = new Set<string>()

  /** @param hasSteps whether boundaries of steps are told. What a client drops at once reaches back to the last one. */
  constructor (private readonly hasSteps: boolean) {}

  /** Whether there are parts that the client would drop. */
  get hasAny (): boolean { return this.#hasAny }

  /** How many chunks `close` says. */
  get toClose (): number { return Number(this.#open !== undefined) + Number(this.#isInStep) }

  tell (event: ContentEvent): UiChunk[] {
    this.#hasAny ||= event.type !== 'step'
    switch (event.type) {
      case 'chunk': return this.#append('text', event.content)
      case 'reasoning': return this.#append('reasoning', event.content)
      case 'step': return [...this.close(), ...this.#enterStep()]
      case 'tool_call': return this.#call(event)
      case 'tool_result': return this.#result(event)
    }
  }

  /** Closes what is open, and the step. */
  close (): UiChunk[] {
    const chunks = this.#closePart()
    if (this.#isInStep) chunks.push({ type: 'finish-step' })
    this.#isInStep = false
    return chunks
  }

  /** The client drops the parts of the step under way. */
  drop (): UiChunk[] {
    this.#open = undefined
    this.#hasAny = false
    this.#calls.clear()
    return [{ type: 'reset-step' }]
  }

  #append (type: 'text' | 'reasoning', delta: string): UiChunk[] {
    const chunks = this.#enterStep()
    if (this.#open?.type !== type) {
      chunks.push(...this.#closePart())
      this.#open = { type, id: `${type}-${++this.#begun}` }
      chunks.push({ type: `${type}-start`, id: this.#open.id })
    }
    chunks.push({ type: `${type}-delta`, id: this.#open.id, delta })
    return chunks
  }

  // Tools run here: clients that take a call for theirs would run it too, or send the message again for ever.
  #call ({ id, name, arguments: input }: Extract<ContentEvent, { type: 'tool_call' }>): UiChunk[] {
    this.#calls.add(id)
    return [
      ...this.#enterStep(), ...this.#closePart(),
      { type: 'tool-input-available', toolCallId: id, toolName: name, input, dynamic: true, providerExecuted: true }
    ]
  }

  #result ({ id, result, error }: Extract<ContentEvent, { type: 'tool_result' }>): UiChunk[] {
    if (!this.#calls.has(id)) return []
    const said = error === undefined ? { type: 'tool-output-available', toolCallId: id, output: result ?? '' } : { type: 'tool-output-error', toolCallId: id, errorText: error }
    return [...this.#closePart(), { ...said, dynamic: true, providerExecuted: true }]
  }

  #enterStep (): UiChunk[] {
    if (this.#isInStep || !this.hasSteps) return []
    this.#isInStep = true
    return [{ type: 'start-step' }]
  }

  #closePart (): UiChunk[] {
    const open = this.#open
    this.#open = undefined
    return open ? [{ type: `${open.type}-end`, id: open.id }] : []
  }
}
