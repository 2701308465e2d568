import type { ToolCall } from '../messages.ts'
import { attributesOfChat, beginChat, beginTool, type ChatOutcome, type ChatRequest, contentOfChat, contentOfTool, type GatewayPlace } from './calls.ts'
import { type EndedSpan, OpenSpan, type SpanBeginning } from './open-span.ts'
import { type RecordedSpans, type Span, SPAN_KIND } from './span.ts'
import { contextOf, newSpanId, type ParentSpan, type TraceContext } from './trace-context.ts'

export type StepKind = 'model' | 'tool' | 'functions' | 'python'

/** What a step has of its attempt. */
export interface StepOwner {
  readonly attempt: ParentSpan
  readonly state: string | undefined
  readonly gateway: GatewayPlace | undefined
  /** Whether texts may be passed on. */
  readonly hasContent: boolean
  /** Takes the spans of the step, its own first. */
  onEnd (step: StepSpan, spans: readonly EndedSpan[]): RecordedSpans
  /** The step was none. */
  onDropped (step: StepSpan): void
}

/** A call under way, whose outcome is still to be told. */
export interface CallSpan<Outcome> {
  readonly context: TraceContext
  end (outcome: Outcome): void
}

/** Of one step: a model is asked so often at the most, with all fallbacks. */
const MAX_CHILDREN = 64

/** A step under way: a turn of a model, or a call of a tool. Its calls are spans below its own. */
export class StepSpan {
  readonly #parent: ParentSpan
  readonly #start = Date.now()
  readonly #began = performance.now()
  readonly #open = new Set<OpenSpan>()
  #children: EndedSpan[] = []
  #recorded: RecordedSpans | undefined

  /** @param creditsBefore what the run has cost before the step. */
  constructor (private readonly owner: StepOwner, private readonly kind: StepKind, private readonly creditsBefore?: number) {
    this.#parent = { ...owner.attempt, spanId: newSpanId() }
  }

  /** What the step hands on where no call has a span of its own. */
  get context (): TraceContext { return contextOf(this.#parent, this.owner.state) }

  /** Begins a request to the gateway. */
  openChat (request: ChatRequest): CallSpan<ChatOutcome> {
    const { gateway, hasContent } = this.owner
    const span = this.#openChild(beginChat(request, gateway, hasContent))
    return {
      context: span.context,
      end: outcome => span.end({ attributes: attributesOfChat(outcome), content: contentOfChat(outcome, this.owner.hasContent), error: outcome.error })
    }
  }

  /** Begins a call of a tool. @param isKnown whether there is such a tool. */
  openTool (call: ToolCall, isKnown: boolean): CallSpan<{ result?: string, error?: string }> {
    const span = this.#openChild(beginTool(call, isKnown, this.owner.hasContent))
    return {
      context: span.context,
      end: ({ result, error }) => span.end({ content: contentOfTool(result ?? error, this.owner.hasContent), error: error === undefined ? undefined : isKnown ? 'tool_failed' : 'unknown_tool' })
    }
  }

  /**
   * Ends the step, and what is still under way in it. Returns what is recorded with it; called again, the same.
   * @param number its number in the run.
   * @param credits what the run has cost by now.
   * @param error why it failed, in a word.
   */
  end ({ number, credits, error }: { number?: number, credits?: number, error?: string } = {}): RecordedSpans {
    if (this.#recorded) return this.#recorded
    for (const child of [...this.#open]) child.end({ error: error ?? 'cut_off' })
    const cost = credits === undefined || this.creditsBefore === undefined ? undefined : credits - this.creditsBefore
    const span: Span = {
      id: this.#parent.spanId,
      parent: this.owner.attempt.spanId,
      name: number === undefined ? 'step' : `step ${number}`,
      kind: SPAN_KIND.internal,
      start: this.#start,
      end: this.#start + performance.now() - this.#began,
      attributes: { 'jeesi.step.number': number, 'jeesi.step.kind': this.kind, 'jeesi.step.credits': cost },
      error
    }
    this.#recorded = this.owner.onEnd(this, [{ span, content: {} }, ...this.#children])
    this.#children = []
    return this.#recorded
  }

  /** Nothing was to be done: there is no span. */
  drop (): void {
    this.owner.onDropped(this)
  }

  #openChild (beginning: SpanBeginning): OpenSpan {
    const child: OpenSpan = new OpenSpan(this.#parent, this.owner.state, beginning, ended => {
      this.#open.delete(child)
      if (this.#children.length < MAX_CHILDREN) this.#children.push(ended)
    })
    this.#open.add(child)
    return child
  }
}
