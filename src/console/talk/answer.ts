import { type NumberedEvent, RunText, type Usage } from '../../client/client.js'

/** Something that happened while an answer was made, beside its text. */
export type Happening = { seq: number } & (
  | { kind: 'tool', id: string, name: string, arguments: unknown, result?: string, error?: string }
  | { kind: 'retry', code: string, delayMs: number, model?: string }
  | { kind: 'attempt', attempt: number }
  | { kind: 'rewind', to: number })

export type AnswerState = 'waiting' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled'

/** What is kept of happenings: a run may call tools for hours. */
const MAX_HAPPENINGS = 500
/** Characters of reasoning that are kept: the end of it. */
const MAX_REASONING = 50_000

/** An answer as it comes: what its events make of it. */
export class Answer {
  readonly #text = new RunText()
  #reasoning: Array<{ seq: number, content: string }> = []
  #hasReasoned = 0
  happenings: Happening[] = []
  state: AnswerState = 'waiting'
  attempt = 0
  position: number | undefined
  progress: { fraction?: number, message?: string } | undefined
  steps = 0
  error: { message: string, code: string } | undefined
  usage: Usage | undefined
  credits: number | undefined
  executionTime: number | undefined
  runId: string | undefined

  get text (): string { return this.#text.value }
  get reasoning (): string { return this.#reasoning.map(({ content }) => content).join('') }
  get isOver (): boolean { return this.state === 'succeeded' || this.state === 'failed' || this.state === 'cancelled' }

  add (event: NumberedEvent): void {
    this.#text.add(event)
    switch (event.type) {
      case 'queued': return this.#wait(event.position)
      case 'started': return this.#start(event)
      case 'chunk': return this.#goOn()
      case 'reasoning': return this.#reason(event)
      case 'progress': this.progress = { fraction: event.fraction, message: event.message }; return this.#goOn(this.progress)
      case 'step': this.steps = Math.max(this.steps, event.step); return
      case 'rewind': return this.#rewind(event)
      case 'tool_call': return this.#note({ kind: 'tool', seq: event.seq, id: event.id, name: event.name, arguments: event.arguments })
      case 'tool_result': return this.#settle(event)
      case 'retry': return this.#note({ kind: 'retry', seq: event.seq, code: event.code, delayMs: event.delayMs, model: event.model })
      default: return this.#end(event)
    }
  }

  #wait (position: number): void {
    this.state = 'queued'
    this.position = position
  }

  #start ({ seq, runId, attempt }: Extract<NumberedEvent, { type: 'started' }>): void {
    this.#goOn()
    this.runId = runId
    this.attempt = attempt
    if (attempt > 1) this.#note({ kind: 'attempt', seq, attempt })
  }

  #goOn (progress?: Answer['progress']): void {
    this.state = 'running'
    this.position = undefined
    this.progress = progress
  }

  #reason ({ seq, content }: { seq: number, content: string }): void {
    this.#goOn()
    this.#reasoning.push({ seq, content })
    this.#hasReasoned += content.length
    while (this.#hasReasoned > MAX_REASONING && this.#reasoning.length > 1) this.#hasReasoned -= this.#reasoning.shift()!.content.length
  }

  /** What came after an event is void. */
  #rewind ({ seq, to }: { seq: number, to: number }): void {
    this.#reasoning = this.#reasoning.filter(part => part.seq <= to)
    this.happenings = this.happenings.filter(({ seq, kind }) => seq <= to || kind !== 'tool')
    this.#note({ kind: 'rewind', seq, to })
  }

  #settle ({ id, name, result, error, seq }: Extract<NumberedEvent, { type: 'tool_result' }>): void {
    const call = this.happenings.findLast(happening => happening.kind === 'tool' && happening.id === id)
    if (call) Object.assign(call, { result, error })
    else this.#note({ kind: 'tool', seq, id, name, arguments: undefined, result, error })
  }

  #note (happening: Happening): void {
    this.happenings.push(happening)
    if (this.happenings.length > MAX_HAPPENINGS) this.happenings.shift()
  }

  #end (event: Extract<NumberedEvent, { type: 'done' | 'error' | 'cancelled' }>): void {
    this.progress = undefined
    this.position = undefined
    this.runId ??= event.runId
    if (event.type === 'error') {
      this.state = 'failed'
      this.error = { message: event.error, code: event.code }
      return
    }
    this.credits = event.creditsUsed
    this.state = event.type === 'done' ? 'succeeded' : 'cancelled'
    if (event.type === 'done') Object.assign(this, { usage: event.usage, executionTime: event.executionTime })
  }
}
