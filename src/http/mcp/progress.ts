import type { RunEvent } from '#shared/schemas.ts'
import type { Entry } from '../../executor/events/event-log.js'
import { Throttle } from '../../lib/throttle.js'
import type { History } from '../sse/format.js'
import { contentOf, textLengthOf } from '../sse/retelling.js'

/** Milliseconds between two notifications, at the least. */
const LEAST_MS = 1_000
/** Milliseconds after which a client is told that the run still goes on: many give up what is silent for a minute. */
const QUIET_MS = 15_000
/** UTF-16 units of what an agent says of itself. */
const MAX_WORDS = 200

/** What a client is told. `progress` only counts: it rises by one. */
export interface Progress { progress: number, message: string }

/** Tells a client how a run goes on, in a few words at a time: what has happened last, and no more than that once a second. */
export class ProgressTeller {
  #told = 0
  #words = 'Waiting'
  #characters = 0
  readonly #throttle: Throttle
  readonly #quiet: NodeJS.Timeout

  /** @param history the run's events up to a number. */
  constructor (private readonly tell: (progress: Progress) => void, private readonly history: History) {
    this.#throttle = new Throttle(() => this.#tell(), LEAST_MS, 0)
    this.#quiet = setInterval(() => this.#throttle.call(), QUIET_MS).unref()
  }

  take ({ seq, event }: Entry): void {
    if (event.type === 'chunk') this.#characters += event.content.length
    if (event.type === 'rewind') this.#characters = textLengthOf(contentOf(this.history(seq - 1), event.to))
    const words = event.type === 'chunk' || event.type === 'rewind' ? `Writing: ${this.#characters} characters so far` : wordsOf(event)
    if (words === undefined) return
    this.#words = words
    this.#throttle.call()
  }

  /** Nothing is told any more. */
  stop (): void {
    clearInterval(this.#quiet)
    this.#throttle.stop()
  }

  #tell (): void {
    this.tell({ progress: ++this.#told, message: this.#words })
  }
}

/** Undefined where there is nothing to say. */
function wordsOf (event: RunEvent): string | undefined {
  switch (event.type) {
    case 'started': return event.attempt === 1 ? 'Started' : 'Started again'
    case 'queued': return `Waiting in the queue, at position ${event.position}`
    case 'reasoning': return 'Thinking'
    case 'tool_call': return `Using ${event.name.slice(0, MAX_WORDS)}`
    case 'retry': return 'Trying again'
    case 'progress': return event.message?.slice(0, MAX_WORDS) ?? `${Math.floor((event.fraction ?? 0) * 100)} % done`
    default: return undefined
  }
}
