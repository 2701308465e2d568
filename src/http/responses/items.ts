import { itemIdOf } from '../../contract/responses.js'
import { GrowingText } from '../../lib/growing-text.js'

/** A text of the model: its answer, or what it thinks before that. */
export type TextKind = 'message' | 'reasoning'
export type ItemStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed'

/** An item of a response's output. */
export interface OutputItem {
  readonly id: string
  /** Its place among all items that a reader is told of. */
  readonly index: number
  /** The events of the run that began it, and that came last. */
  readonly firstSeq: number
  lastSeq: number
  isOpen: boolean
  /** Whether a rewind took it back: it is no part of the output any more. */
  isDead: boolean
  /** As the protocol has it. */
  toItem (): object
}

/** A text that grows. */
export class TextItem implements OutputItem {
  readonly id: string
  lastSeq: number
  isOpen = true
  isDead = false
  status: ItemStatus = 'in_progress'
  readonly #text = new GrowingText()
  /** Once it grows no more. */
  #whole?: string

  constructor (readonly kind: TextKind, runId: string, readonly index: number, readonly firstSeq: number) {
    this.id = itemIdOf(kind === 'message' ? 'msg' : 'rs', runId, firstSeq)
    this.lastSeq = firstSeq
  }

  get text (): string { return this.#whole ?? this.#text.toString() }
  /** In UTF-16 units. */
  get length (): number { return this.#text.length }

  append (content: string, seq: number): void {
    this.#text.append(content)
    this.lastSeq = seq
  }

  close (status: ItemStatus): void {
    this.#whole = this.#text.toString()
    this.isOpen = false
    this.status = status
  }

  /** @param text by default all of it. */
  toPart (text = this.text): object {
    return this.kind === 'message' ? { type: 'output_text', text, annotations: [], logprobs: [] } : { type: 'reasoning_text', text }
  }

  /** @param content its parts; by default the one with the text. */
  toItem (content = [this.toPart()]): object {
    const { id, kind, status } = this
    return kind === 'message' ? { id, type: kind, status, role: 'assistant', content } : { id, type: kind, status, summary: [], content }
  }
}

/** The server that clients are told to have run a tool. */
const SERVER_LABEL = 'jeesi'

/** A tool that the service runs: its client has nothing to answer. */
export class ToolItem implements OutputItem {
  readonly id: string
  lastSeq: number
  isOpen = true
  isDead = false
  status: ItemStatus = 'in_progress'
  output: string | null = null
  error: string | null = null

  constructor (readonly name: string, readonly json: string, runId: string, readonly index: number, readonly firstSeq: number) {
    this.id = itemIdOf('mcp', runId, firstSeq)
    this.lastSeq = firstSeq
  }

  /** @param json its arguments, as far as they are told. */
  toItem (json = this.json): object {
    const { id, name, status, output, error } = this
    return {
      id,
      type: 'mcp_call',
      status,
      server_label: SERVER_LABEL,
      name,
      arguments: json,
      output,
      error: error === null ? null : { type: 'mcp_tool_execution_error', content: [{ type: 'text', text: error }] },
      approval_request_id: null
    }
  }
}
