import { JeesiError, type Message, type NumberedEvent, run, RunText } from '../client/client.js'
import type { Conversation, Pending, Store, Turn } from './store.js'

/** What the page shows of a chat. */
export interface ChatView {
  /** All turns that have ended. */
  showTurns (turns: Turn[]): void
  /** The question that is being answered, and the answer so far. */
  showPending (question: string, answer: string): void
  /** What happens meanwhile; empty: nothing to tell. `fraction`: from 0 to 1. */
  showProgress (sentence: string, fraction?: number): void
  /** Whether a question can be asked now, or an answer be stopped. */
  setBusy (isBusy: boolean): void
}

export interface ChatOptions { url: string, agentId: string, token: () => Promise<string> }

/** A conversation with one agent, of which one question is answered at a time. */
export class Chat {
  #stopping: AbortController | undefined

  constructor (private readonly options: ChatOptions, private readonly store: Store, private readonly view: ChatView) {}

  /** Shows what was said before, and goes on with an answer that was being written when the page was left. */
  open (): void {
    const { turns, pending } = this.store.conversation
    this.view.showTurns(turns)
    if (pending) this.#answer(pending)
  }

  ask (question: string): void {
    if (this.#stopping || question.trim() === '') return
    const pending = { question, idempotencyKey: crypto.randomUUID() }
    this.#save({ pending })
    this.#answer(pending)
  }

  stop (): void {
    this.#stopping?.abort()
  }

  /** Stops watching; the run goes on. */
  close (): void {
    this.#isClosed = true
    this.#events?.return()
  }

  #isClosed = false
  #events: AsyncGenerator<NumberedEvent, void, void> | undefined

  async #answer (pending: Pending): Promise<void> {
    this.#stopping = new AbortController()
    this.view.setBusy(true)
    const text = new RunText()
    this.view.showPending(pending.question, '')
    const end = await this.#follow(pending, text).catch((error: unknown): Pick<Turn, 'answer' | 'state'> => {
      if (this.#stopping!.signal.aborted) return { answer: text.value, state: 'stopped' }
      return { answer: error instanceof JeesiError ? error.message : 'Something went wrong. Please try again.', state: 'failed' }
    })
    if (!end || this.#isClosed) return
    this.#stopping = undefined
    // Where the page is open twice, the other one may have taken the answer down.
    const isOwn = this.store.conversation.pending?.idempotencyKey === pending.idempotencyKey
    const turns = isOwn ? [...this.store.conversation.turns, { question: pending.question, ...end }] : this.store.conversation.turns
    if (isOwn) this.#save({ turns, pending: undefined })
    this.view.showProgress('')
    this.view.showTurns(turns)
    this.view.setBusy(false)
  }

  /** Resolves to undefined if the widget was closed meanwhile. */
  async #follow (pending: Pending, text: RunText): Promise<Pick<Turn, 'answer' | 'state'> | undefined> {
    const { signal } = this.#stopping!
    const { agentId, ...service } = this.options
    const { runId, idempotencyKey, question } = pending
    const watched = run({ ...service, signal, ...(runId ? { runId } : { agentId, idempotencyKey, messages: this.#messages(question) }) })
    const events = this.#events = watched[Symbol.asyncIterator]()
    for await (const event of events) {
      if (this.#isClosed) return undefined
      if (!pending.runId) this.#save({ pending: { ...pending, runId: watched.runId! } })
      text.add(event)
      this.view.showPending(question, text.value)
      this.#tell(event)
      if (event.type === 'done') return { answer: event.response, state: 'answered' }
      // Instead of the text: half an answer looks whole.
      if (event.type === 'error') return { answer: event.error, state: 'failed' }
      if (event.type === 'cancelled') return { answer: text.value, state: 'stopped' }
    }
    return undefined
  }

  #tell (event: NumberedEvent): void {
    if (event.type === 'queued') this.view.showProgress(`Waiting: number ${event.position} in line`)
    if (event.type === 'started' || event.type === 'tool_result' || event.type === 'step') this.view.showProgress('Thinking …')
    if (event.type === 'tool_call') this.view.showProgress(`Using ${event.name} …`)
    if (event.type === 'progress') this.view.showProgress(event.message ?? 'Working …', event.fraction)
    if (event.type === 'retry') this.view.showProgress('Trying again …')
    if (event.type === 'chunk') this.view.showProgress('')
  }

  #messages (question: string): Message[] {
    const said = this.store.conversation.turns.filter(({ answer, state }) => state !== 'failed' && answer !== '')
    return [...said.flatMap(({ question, answer }): Message[] => [{ role: 'user', content: question }, { role: 'assistant', content: answer }]), { role: 'user', content: question }]
  }

  #save (change: Partial<Conversation>): void {
    this.store.conversation = { ...this.store.conversation, ...change }
  }
}
