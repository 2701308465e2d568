import type { Inbox } from './inbox.js'
import type { RunRegistry } from './looks.js'
import type { Answer } from './messages.js'

/** How long an answer may take. */
const ANSWER_MS = 1_000

interface Question { readonly runId: string, readonly characters: number, answer (text?: string): void }

/** Asks the processes that make runs for the texts so far, all that come up in one tick together. */
export class TextQuestions {
  #asked: Question[] = []
  /** What is not answered yet, by the number of the message. */
  readonly #open = new Map<number, Question[]>()
  #lastId = 0

  constructor (private readonly inbox: Inbox, private readonly registry: Pick<RunRegistry, 'findOwners'>) {}

  /** Resolves to the first characters of a run's text; to undefined if no process answers that makes the run. */
  ask (runId: string, characters: number): Promise<string | undefined> {
    return new Promise(resolve => {
      if (this.#asked.length === 0) setImmediate(() => this.#send())
      this.#asked.push({ runId, characters, answer: resolve })
    })
  }

  take ({ id, texts }: Answer): void {
    for (const { runId, answer } of this.#open.get(id) ?? []) answer(texts[runId])
    this.#open.delete(id)
  }

  close (): void {
    for (const id of [...this.#open.keys()]) this.#giveUp(id)
  }

  async #send (): Promise<void> {
    const questions = this.#asked
    this.#asked = []
    const runIds = [...new Set(questions.map(({ runId }) => runId))]
    const found = this.inbox.isOpen ? await this.registry.findOwners(runIds).catch(() => []) : []
    const owners = new Map(found.map(({ runId, owner }) => [runId, owner ?? '']))
    for (const [key, group] of groupBy(questions, ({ runId, characters }) => `${characters} ${owners.get(runId) ?? ''}`)) {
      const [characters, owner] = key.split(' ') as [string, string]
      if (owner) this.#ask(owner, Number(characters), group)
      else for (const { answer } of group) answer()
    }
  }

  #ask (owner: string, characters: number, questions: Question[]): void {
    const id = ++this.#lastId
    this.#open.set(id, questions)
    const timer = setTimeout(() => this.#giveUp(id), ANSWER_MS).unref()
    const giveUp = () => {
      clearTimeout(timer)
      this.#giveUp(id)
    }
    const runs = questions.map(({ runId }) => runId)
    this.inbox.send(owner, { kind: 'ask', from: this.inbox.name, id, runs, characters }).then(isHeard => { if (!isHeard) giveUp() }, giveUp)
  }

  #giveUp (id: number): void {
    for (const { answer } of this.#open.get(id) ?? []) answer()
    this.#open.delete(id)
  }
}

function groupBy<T> (items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return groups
}
