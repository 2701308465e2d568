import { errors, restoreError } from '#shared/errors.ts'
import { isFinal } from '#shared/final-event.ts'
import type { FinalEvent, RunEvent } from '#shared/schemas.ts'
import { toChatError } from '../../contract/openai-chat.js'
import { type ResponseHead, type ResponseState, toResponse } from '../../contract/responses.js'
import type { Response } from '../../contract/responses-schemas.js'
import { type ItemStatus, type OutputItem, type TextKind, TextItem, ToolItem } from './items.js'
import { firstNumberOf } from './numbers.js'

/** What a client of a stream is told. */
export interface ResponseEvent {
  type: string
  sequence_number: number
  [field: string]: unknown
}

/** Reasons for which an answer is not whole, by why the model ended. */
const INCOMPLETE: Record<string, string> = { length: 'max_output_tokens', content_filter: 'content_filter' }

/**
 * A response, as the events of its run make it, and what a client is told of each. It depends on these events alone: who reads
 * them again is told the same, under the same numbers.
 */
export class ResponseRecorder {
  /** Whether what was told cannot be gone on with: nothing more is told after the error. */
  hasFailed = false
  readonly #state: ResponseState
  readonly #items: OutputItem[] = []
  /** The text that grows, if any. */
  #text?: TextItem
  /** Calls of tools that have not ended, by the model's ids. */
  readonly #calls = new Map<string, ToolItem>()
  #isQueued = false
  #hasBegun = false
  #last = 0
  #told: ResponseEvent[] = []

  constructor (private readonly head: ResponseHead) {
    this.#state = { status: head.details.background ? 'queued' : 'in_progress', output: [], error: null, incompleteReason: null, usage: null, completedAt: null }
  }

  /** The response as it stands. @param status of its run, where that is known better. */
  response (status = this.#state.status): Response {
    const output = this.#items.filter(({ isDead }) => !isDead).map(item => item.toItem())
    return toResponse(this.head, { ...this.#state, status, output })
  }

  /** Whether the run has ended. */
  get hasEnded (): boolean { return !['queued', 'in_progress'].includes(this.#state.status) }

  /** What a reader is told first. */
  begin (): ResponseEvent {
    return { type: 'response.created', sequence_number: 0, response: this.response() }
  }

  /** Takes the next event of the run, and returns what a reader is told of it. */
  take (seq: number, event: RunEvent): ResponseEvent[] {
    if (this.hasFailed || this.hasEnded) return []
    this.#told = []
    this.#last = Math.max(this.#last, firstNumberOf(seq) - 1)
    if (isFinal(event)) this.#end(seq, event)
    else this.#takeStep(seq, event)
    return this.#told
  }

  /**
   * The error after which nothing more is told. It has the number of what was told last, after which a reader resumes. The protocol
   * has its fields beside the type, and the packages throw it where they stand in `error`.
   */
  toError (problem: Parameters<typeof toChatError>[0]): ResponseEvent {
    const { error } = toChatError(problem)
    const { code, message, param } = error
    return { type: 'error', sequence_number: this.#last, code, message, param, error }
  }

  #takeStep (seq: number, event: RunEvent): void {
    switch (event.type) {
      case 'queued':
      case 'started': return this.#begin(event.type)
      case 'chunk': return this.#append('message', seq, event.content)
      case 'reasoning': return this.#append('reasoning', seq, event.content)
      case 'tool_call': return this.#call(seq, event)
      case 'tool_result': return this.#result(seq, event)
      case 'rewind': return this.#rewind(event.to)
    }
  }

  /** Each is told once: what comes later is of a further place in the queue, or of another attempt. */
  #begin (type: 'queued' | 'started'): void {
    if (this.#hasBegun || (type === 'queued' && this.#isQueued)) return
    this.#isQueued = true
    this.#hasBegun = type === 'started'
    this.#state.status = type === 'queued' ? 'queued' : 'in_progress'
    this.#tell(`response.${this.#state.status}`, { response: this.response() })
  }

  #append (kind: TextKind, seq: number, content: string): void {
    if (this.#text?.kind !== kind) {
      this.#closeText('completed')
      this.#text = this.#add(new TextItem(kind, this.head.runId, this.#items.length, seq))
      this.#tell('response.output_item.added', { output_index: this.#text.index, item: this.#text.toItem([]) })
      this.#tellOf(this.#text, 'response.content_part.added', { content_index: 0, part: this.#text.toPart('') })
    }
    this.#text.append(content, seq)
    const fields = kind === 'message' ? { content_index: 0, delta: content, logprobs: [] } : { content_index: 0, delta: content }
    this.#tellOf(this.#text, kind === 'message' ? 'response.output_text.delta' : 'response.reasoning_text.delta', fields, content !== '')
  }

  #closeText (status: ItemStatus): void {
    const item = this.#text
    if (!item) return
    this.#text = undefined
    item.close(status)
    const { text, kind } = item
    const fields = kind === 'message' ? { content_index: 0, text, logprobs: [] } : { content_index: 0, text }
    this.#tellOf(item, kind === 'message' ? 'response.output_text.done' : 'response.reasoning_text.done', fields)
    this.#tellOf(item, 'response.content_part.done', { content_index: 0, part: item.toPart() })
    this.#tellDone(item)
  }

  #call (seq: number, { id, name, arguments: args }: Extract<RunEvent, { type: 'tool_call' }>): void {
    this.#closeText('completed')
    const json = typeof args === 'string' ? args : JSON.stringify(args ?? {})
    const item = this.#add(new ToolItem(name, json, this.head.runId, this.#items.length, seq))
    this.#calls.set(id, item)
    this.#tell('response.output_item.added', { output_index: item.index, item: item.toItem('') })
    this.#tellOf(item, 'response.mcp_call.in_progress', {})
    this.#tellOf(item, 'response.mcp_call_arguments.delta', { delta: json })
    this.#tellOf(item, 'response.mcp_call_arguments.done', { arguments: json })
  }

  #result (seq: number, { id, result, error }: Extract<RunEvent, { type: 'tool_result' }>): void {
    const item = this.#calls.get(id)
    if (!item) return
    this.#calls.delete(id)
    item.lastSeq = seq
    item.output = result ?? null
    item.error = error ?? null
    this.#closeCall(item, error === undefined ? 'completed' : 'failed')
  }

  #closeCall (item: ToolItem, status: ItemStatus): void {
    item.isOpen = false
    item.status = status
    if (status !== 'incomplete') this.#tellOf(item, `response.mcp_call.${status}`, {})
    this.#tellDone(item)
  }

  /** All items that were begun after an event are taken back: those under way end, and none of them is in the output. */
  #rewind (to: number): void {
    for (const item of this.#items) {
      if (item.isDead || item.lastSeq <= to) continue
      // What was told of a part of an item cannot be taken back.
      if (item.firstSeq <= to) return this.#fail()
      item.isDead = true
    }
    if (this.#text?.isDead) this.#closeText('incomplete')
    for (const [id, item] of this.#calls) {
      if (!item.isDead) continue
      this.#calls.delete(id)
      this.#closeCall(item, 'incomplete')
    }
  }

  #end (seq: number, event: FinalEvent): void {
    const state = this.#state
    if (event.type === 'done') {
      this.#complete(seq, event.response)
      const reason = INCOMPLETE[event.finishReason ?? ''] ?? null
      this.#closeAll(reason === null ? 'completed' : 'incomplete')
      state.status = reason === null ? 'completed' : 'incomplete'
      state.incompleteReason = reason
      state.usage = event.usage
      state.completedAt = Date.parse(this.head.createdAt) + event.executionTime
    } else {
      this.#closeAll('incomplete')
      const { code, message } = toChatError(event.type === 'error' ? restoreError(event.code, event.error) : errors.runCancelled()).error
      state.status = event.type === 'error' ? 'failed' : 'cancelled'
      state.error = { code, message }
    }
    // There is no event of its own for what was cancelled; a client must not take it for whole.
    this.#tell(`response.${state.status === 'cancelled' ? 'failed' : state.status}`, { response: this.response() })
  }

  /** The answer counts as it is at the end: of a run whose events are gone, no part of it was told before. */
  #complete (seq: number, response: string): void {
    const texts = this.#items.filter((item): item is TextItem => item instanceof TextItem && item.kind === 'message' && !item.isDead)
    const length = texts.reduce((sum, item) => sum + item.length, 0)
    if (length === response.length) return
    const isBeginning = response.startsWith(texts.map(({ text }) => text).join(''))
    if (!isBeginning) for (const item of texts) item.isDead = true
    if (!isBeginning && this.#text?.isDead) this.#closeText('incomplete')
    this.#append('message', seq, isBeginning ? response.slice(length) : response)
  }

  #closeAll (status: ItemStatus): void {
    this.#closeText(status)
    for (const item of this.#calls.values()) this.#closeCall(item, 'incomplete')
    this.#calls.clear()
  }

  #fail (): void {
    this.hasFailed = true
    this.#told.push(this.toError(errors.answerChanged()))
  }

  #add<Item extends OutputItem> (item: Item): Item {
    this.#items.push(item)
    return item
  }

  #tellDone (item: OutputItem): void {
    this.#tell('response.output_item.done', { output_index: item.index, item: item.toItem() })
  }

  #tellOf ({ id, index }: OutputItem, type: string, fields: object, isTold = true): void {
    this.#tell(type, { item_id: id, output_index: index, ...fields }, isTold)
  }

  /** @param isTold what is left out has its number all the same. */
  #tell (type: string, fields: object, isTold = true): void {
    this.#last++
    if (isTold) this.#told.push({ type, sequence_number: this.#last, ...fields })
  }
}
