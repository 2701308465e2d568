import type { RunEvent } from '#shared/schemas.ts'
import { findRewound, type NumberedEvent } from '#shared/trace.ts'

const CONTENT = ['chunk', 'reasoning', 'step', 'tool_call', 'tool_result'] as const

/** The events of which a message is made. */
export type ContentEvent = Extract<RunEvent, { type: typeof CONTENT[number] }>

export function isContent (event: RunEvent): event is ContentEvent {
  return (CONTENT as readonly string[]).includes(event.type)
}

/** The content that a run's events add up to, up to a number: without what was taken back. */
export function contentOf (events: readonly NumberedEvent[], last = Infinity): ContentEvent[] {
  const rewound = findRewound(events)
  return events.flatMap(({ seq, event }) => isContent(event) && seq <= last && !rewound(seq) ? event : [])
}

/** The length of the response in these events, in UTF-16 units. */
export function textLengthOf (events: readonly ContentEvent[]): number {
  return events.reduce((length, event) => length + (event.type === 'chunk' ? event.content.length : 0), 0)
}

/**
 * Tells of each event whether it is past: it was taken back among the events that are there now, or it is a rewind among these. A reader
 * that comes later is told nothing of it.
 */
export function findPast (events: readonly NumberedEvent[]): (seq: number, event: RunEvent) => boolean {
  const last = events.at(-1)?.seq ?? 0
  const rewound = findRewound(events)
  return (seq, event) => seq <= last && (event.type === 'rewind' || (isContent(event) && rewound(seq)))
}

/** The same with pieces of one text in one event. */
export function joined (events: readonly ContentEvent[]): ContentEvent[] {
  const whole: ContentEvent[] = []
  for (const event of events) {
    const last = whole.at(-1)
    if ((event.type === 'chunk' || event.type === 'reasoning') && last?.type === event.type) whole[whole.length - 1] = { type: event.type, content: last.content + event.content }
    else whole.push(event)
  }
  return whole
}

/** A part of a message as it was told. Reasoning is none: a later attempt does not repeat it, and each try thinks otherwise. */
type Part =
  | { type: 'step' }
  | { type: 'text', text: string }
  | { type: 'call', id: string, name: string, input: string, output?: string }

/**
 * Compares what a run tells anew, after a rewind, with what its reader has been told. What is equal is passed over; the reader of a
 * protocol without a word for taking back sees nothing of such a rewind.
 */
export class Retelling {
  /** The part up to which both are equal, and how much of its text. */
  #at = -1
  #offset = 0
  /** What was matched of the step under way. */
  #sinceStep: ContentEvent[] = []
  readonly #lastStep: number

  constructor (private readonly told: readonly Part[]) {
    this.#lastStep = told.findLastIndex(({ type }) => type === 'step')
  }

  /** @param events what the reader has been told, without what was taken back. */
  static of (events: readonly ContentEvent[]): Retelling {
    return new Retelling(partsOf(events))
  }

  /** The same, for what is told from the beginning once more. */
  again (): Retelling {
    return new Retelling(this.told)
  }

  /** Whether all that the reader has was told anew. */
  get isOver (): boolean { return this.#at === this.told.length - 1 && this.#isExhausted }

  /** Whether what differs lies within the last step that the reader has. */
  get isInLastStep (): boolean { return this.#at >= this.#lastStep }

  /** What the step under way consists of in the new telling, so far. */
  get step (): readonly ContentEvent[] { return this.#sinceStep }

  /** Takes the next event. Returns what of it the reader does not have; null, if it has all of it; undefined, if it has something else there. */
  match (event: ContentEvent): ContentEvent | null | undefined {
    const rest = this.#compare(event)
    if (event.type === 'step' && rest === null) this.#sinceStep = []
    else this.#sinceStep.push(event)
    return rest
  }

  #compare (event: ContentEvent): ContentEvent | null | undefined {
    if (event.type === 'reasoning') return null
    if (event.type === 'chunk') return this.#compareText(event)
    if (event.type === 'tool_result') return this.#compareOutput(event)
    if (!this.#isExhausted) return undefined
    const next = this.told[this.#at + 1]
    if (!next) return event
    const isSame = event.type === 'step' ? next.type === 'step' : next.type === 'call' && isSameCall(next, event)
    if (!isSame) return undefined
    this.#advance()
    return null
  }

  #compareText (event: Extract<ContentEvent, { type: 'chunk' }>): ContentEvent | null | undefined {
    const { content } = event
    if (this.#isExhausted && this.told[this.#at + 1]?.type === 'text') this.#advance()
    const part = this.told[this.#at]
    const left = part?.type === 'text' ? part.text.slice(this.#offset) : ''
    if (left.startsWith(content)) {
      this.#offset += content.length
      return null
    }
    const isLast = this.#at === this.told.length - 1
    return isLast && content.startsWith(left) ? { type: 'chunk', content: content.slice(left.length) } : undefined
  }

  #compareOutput (event: Extract<ContentEvent, { type: 'tool_result' }>): ContentEvent | null | undefined {
    const call = this.told.find(part => part.type === 'call' && part.id === event.id)
    if (call?.type === 'call' && call.output !== undefined) return call.output === outputOf(event) ? null : undefined
    return this.isOver ? event : undefined
  }

  get #isExhausted (): boolean {
    const part = this.told[this.#at]
    return part?.type !== 'text' || this.#offset === part.text.length
  }

  #advance (): void {
    this.#at++
    this.#offset = 0
  }
}

function partsOf (events: readonly ContentEvent[]): Part[] {
  const parts: Part[] = []
  for (const event of events) {
    const last = parts.at(-1)
    if (event.type === 'step') parts.push({ type: 'step' })
    if (event.type === 'tool_call') parts.push({ type: 'call', id: event.id, name: event.name, input: JSON.stringify(event.arguments) })
    if (event.type === 'chunk' && last?.type === 'text') last.text += event.content
    else if (event.type === 'chunk') parts.push({ type: 'text', text: event.content })
    if (event.type === 'tool_result') {
      const call = parts.findLast(part => part.type === 'call' && part.id === event.id)
      if (call?.type === 'call') call.output = outputOf(event)
    }
  }
  return parts
}

function isSameCall (part: Extract<Part, { type: 'call' }>, { id, name, arguments: input }: Extract<ContentEvent, { type: 'tool_call' }>): boolean {
  return part.id === id && part.name === name && part.input === JSON.stringify(input)
}

function outputOf ({ result, error }: Extract<ContentEvent, { type: 'tool_result' }>): string {
  return JSON.stringify({ result, error })
}
