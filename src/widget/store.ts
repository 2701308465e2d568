/** A question and what came of it. */
export interface Turn {
  question: string
  answer: string
  /** `failed`: the answer is a sentence about why there is none. */
  state: 'answered' | 'stopped' | 'failed'
}

/** A question whose answer is being written. By its key it is asked once, however often the page is loaded anew before the run is known. */
export interface Pending { question: string, idempotencyKey: string, runId?: string }

export interface Conversation { turns: Turn[], pending?: Pending }

/** A visitor's token of a publishable key. */
export interface Visitor { token: string, expiresAt: string }

/** Turns that are kept, and sent with the next question. */
const MAX_TURNS = 30

/** Keeps what belongs to one agent in the browser; where that refuses, as in private windows, for as long as the page lives. */
export class Store {
  #memory = new Map<string, string>()

  constructor (private readonly agentId: string) {}

  get conversation (): Conversation { return this.#read('conversation') ?? { turns: [] } }
  set conversation (value: Conversation) { this.#write('conversation', { ...value, turns: value.turns.slice(-MAX_TURNS) }) }

  get visitor (): Visitor | undefined { return this.#read('visitor') }
  set visitor (value: Visitor | undefined) { this.#write('visitor', value) }

  #read (name: string): any {
    const key = `jeesi:${this.agentId}:${name}`
    try {
      return JSON.parse(localStorage.getItem(key) ?? this.#memory.get(key) ?? 'null') ?? undefined
    } catch {
      return undefined
    }
  }

  #write (name: string, value: unknown): void {
    const key = `jeesi:${this.agentId}:${name}`
    const json = JSON.stringify(value ?? null)
    this.#memory.set(key, json)
    try {
      localStorage.setItem(key, json)
    } catch {}
  }
}
