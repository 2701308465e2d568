import type { Attributes, Span, SpanKind } from './span.ts'
import { contextOf, newSpanId, type ParentSpan, type TraceContext } from './trace-context.ts'

/** What a span is before it ends. */
export interface SpanBeginning {
  readonly name: string
  readonly kind: SpanKind
  readonly attributes: Attributes
  /** Texts, which are not kept beyond the process. */
  readonly content?: Attributes
}

/** How a span ends. */
export interface SpanEnding {
  readonly attributes?: Attributes
  readonly content?: Attributes
  /** Why the work failed, in a word. */
  readonly error?: string
}

/** A span that has ended, and the texts that go with it as long as the process lives. */
export interface EndedSpan { readonly span: Span, readonly content: Attributes }

/** A piece of work under way. */
export class OpenSpan {
  /** What the work hands on. */
  readonly context: TraceContext
  readonly #id = newSpanId()
  readonly #start = Date.now()
  readonly #began = performance.now()
  #hasEnded = false

  constructor (private readonly parent: ParentSpan, state: string | undefined, private readonly beginning: SpanBeginning, private readonly onEnd: (ended: EndedSpan) => void) {
    this.context = contextOf({ ...parent, spanId: this.#id }, state)
  }

  /** Ends the span; does nothing if it has ended. */
  end ({ attributes, content, error }: SpanEnding = {}): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const { name, kind, attributes: first, content: before } = this.beginning
    // By a clock that does not jump.
    const end = this.#start + performance.now() - this.#began
    const span: Span = { id: this.#id, parent: this.parent.spanId, name, kind, start: this.#start, end, attributes: { ...first, ...attributes }, error }
    this.onEnd({ span, content: { ...before, ...content } })
  }
}
