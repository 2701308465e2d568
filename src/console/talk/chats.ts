import { JeesiError, type Message, run as follow, type Run } from '../../client/client.js'
import { Store } from '../base/store.js'
import { sentenceOf } from '../base/load.js'
import { SERVICE } from '../session/api.js'
import type { Session } from '../session/session.js'
import { Answer, type AnswerState } from './answer.js'

/** A question, and what the browser keeps of its answer. */
export interface Turn {
  question: string
  /** By it the question is asked once, however often the page is loaded before its run is known. */
  key: string
  runId?: string
  /** Of an answer that is over. */
  state?: AnswerState
  text?: string
  error?: { message: string, code: string }
  usage?: { totalTokens: number }
  credits?: number
  executionTime?: number
}

export interface Chat { id: string, agentId: string, agentName: string, turns: Turn[], at: number }

const MAX_CHATS = 40
const MAX_TURNS = 60
/** Characters of an answer that the browser keeps; the service has the whole. */
const MAX_KEPT = 100_000
/** Milliseconds between two looks at what arrives: more than a screen can show is not drawn. */
const DRAW_MS = 50

interface Live { answer: Answer, stopping: AbortController, events: ReturnType<Run[typeof Symbol.asyncIterator]> }

/** All conversations of a user in this browser. Several may be answered at once, whichever is looked at. */
export class Chats extends Store {
  chats: Chat[]
  readonly #live = new Map<string, Live>()
  readonly #key: string
  #timer: ReturnType<typeof setTimeout> | undefined
  #isClosed = false

  constructor (private readonly session: Session) {
    super()
    this.#key = `jeesi-console:chats:${session.userId}`
    this.chats = this.#read()
    for (const chat of this.chats) {
      const last = chat.turns.at(-1)
      if (last && last.state === undefined) this.#follow(chat, last)
    }
  }

  find (id: string | undefined): Chat | undefined { return this.chats.find(chat => chat.id === id) }

  /** The answer of a turn that is being written. */
  answerOf (turn: Turn): Answer | undefined { return this.#live.get(turn.key)?.answer }

  isBusy (chat: Chat): boolean { return chat.turns.at(-1) !== undefined && chat.turns.at(-1)!.state === undefined }

  /** The conversation in which a run was begun, and its turn. */
  ofRun (runId: string): { chat: Chat, turn: Turn } | undefined {
    for (const chat of this.chats) {
      const turn = chat.turns.find(turn => turn.runId === runId)
      if (turn) return { chat, turn }
    }
  }

  begin (agentId: string, agentName: string, turns: Turn[] = []): Chat {
    const chat = { id: crypto.randomUUID(), agentId, agentName, turns: turns.map(turn => ({ ...turn })), at: Date.now() }
    this.chats = [chat, ...this.chats].slice(0, MAX_CHATS)
    this.#save()
    return chat
  }

  ask (chat: Chat, question: string): void {
    if (this.isBusy(chat)) return
    const turn: Turn = { question, key: crypto.randomUUID() }
    chat.turns = [...chat.turns, turn].slice(-MAX_TURNS)
    chat.at = Date.now()
    this.chats = [chat, ...this.chats.filter(other => other !== chat)]
    this.#follow(chat, turn)
    this.#save()
  }

  /** Asks the last question of a conversation anew. */
  askAgain (chat: Chat): void {
    const last = chat.turns.at(-1)
    if (!last || this.isBusy(chat)) return
    chat.turns = chat.turns.slice(0, -1)
    this.ask(chat, last.question)
  }

  stop (chat: Chat): void {
    const last = chat.turns.at(-1)
    if (last) this.#live.get(last.key)?.stopping.abort()
  }

  remove (chat: Chat): void {
    this.chats = this.chats.filter(other => other !== chat)
    this.#save()
  }

  /** Stops watching; runs go on. A page has few connections, however quiet the runs are. */
  close (): void {
    this.#isClosed = true
    for (const { events } of this.#live.values()) events.return()
  }

  async #follow (chat: Chat, turn: Turn): Promise<void> {
    const stopping = new AbortController()
    const answer = new Answer()
    const run = follow({
      url: SERVICE,
      token: () => this.session.source.token(),
      signal: stopping.signal,
      ...(turn.runId ? { runId: turn.runId } : { agentId: chat.agentId, messages: messagesOf(chat, turn), idempotencyKey: turn.key })
    })
    const events = run[Symbol.asyncIterator]()
    this.#live.set(turn.key, { answer, stopping, events })
    try {
      for await (const event of events) {
        if (turn.runId === undefined && run.runId !== undefined) this.#know(turn, run.runId)
        answer.add(event)
        this.#drawSoon()
      }
    } catch (error) {
      if (this.#isClosed) return
      answer.state = stopping.signal.aborted ? 'cancelled' : 'failed'
      if (!stopping.signal.aborted) answer.error = { message: sentenceOf(error), code: error instanceof JeesiError ? error.code : 'unknown' }
      if (error instanceof JeesiError && error.status === 401) this.session.source.expire()
    }
    if (!this.#isClosed) this.#settle(turn, answer)
  }

  #know (turn: Turn, runId: string): void {
    turn.runId = runId
    this.#save()
  }

  /** Its answer stays in memory as a whole for as long as the page does. */
  #settle (turn: Turn, answer: Answer): void {
    const { state, text, error, usage, credits, executionTime } = answer
    Object.assign(turn, { state, text: text.slice(0, MAX_KEPT), error, usage, credits, executionTime })
    this.#save()
  }

  #drawSoon (): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.changed()
    }, DRAW_MS)
  }

  #read (): Chat[] {
    try {
      return JSON.parse(localStorage.getItem(this.#key) ?? '[]') as Chat[]
    } catch {
      return []
    }
  }

  /** A full or forbidden memory keeps fewer of them, or none. */
  #save (): void {
    for (let count = this.chats.length; count >= 0; count = Math.floor(count / 2)) {
      try {
        localStorage.setItem(this.#key, JSON.stringify(this.chats.slice(0, count)))
        break
      } catch {
        if (count === 0) break
      }
    }
    this.changed()
  }
}

function messagesOf (chat: Chat, turn: Turn): Message[] {
  const before = chat.turns.slice(0, chat.turns.indexOf(turn)).filter(({ state, text }) => state === 'succeeded' && text)
  return [...before.flatMap(({ question, text }): Message[] => [{ role: 'user', content: question }, { role: 'assistant', content: text! }]), { role: 'user', content: turn.question }]
}
