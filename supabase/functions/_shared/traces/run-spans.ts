import type { RunKind } from '../database/run-kind.ts'
import type { Run } from '../schemas.ts'
import type { GatewayPlace } from './calls.ts'
import { toModelName } from './names.ts'
import type { EndedSpan } from './open-span.ts'
import { type Attributes, type RecordedAttempt, type RecordedSpans, type Span, SPAN_KIND, type SpanSink } from './span.ts'
import { type StepKind, type StepOwner, StepSpan } from './step-span.ts'
import { contextOf, newSpanId, type ParentSpan, spanIdOfRun, type TraceContext } from './trace-context.ts'

/** The run whose spans are gathered. */
export interface TracedRun {
  readonly run: Pick<Run, 'runId' | 'agentId' | 'attempt'>
  readonly kind?: RunKind
  /** What was stored with the run. */
  readonly traceContext?: TraceContext
  readonly agent?: { readonly name?: string | null }
}

/** How a run has ended, beside what the database says of it. */
export interface RunOutcome { readonly model: string | null }

/** Where the run stands in its trace. */
export interface RunPlace {
  readonly traceId: string
  /** The span of the request that began it, or of that one's caller. */
  readonly parent?: ParentSpan
  readonly state?: string
  readonly gateway?: GatewayPlace
  /** Whether spans have texts. */
  readonly hasContent: boolean
}

/** Of one run; beyond them the spans of calls are left out, and counted. */
const MAX_SPANS = 1_000
/** Characters of texts that one run gathers. */
const MAX_CONTENT = 256 * 1024

/**
 * The spans of one attempt at a run. They are sent when the run is settled, by the process that settles it, and so are the spans of
 * earlier attempts' recorded steps, which stand in the database with the steps: whatever is killed meanwhile, each recorded step has
 * one span, and the run has one, which says what the ledger does. What was not recorded is in no trace.
 */
export class RunSpans implements StepOwner {
  /** What the attempt hands on where no call has a span of its own. */
  readonly context: TraceContext
  readonly #attempt: RecordedAttempt
  readonly #runSpan: ParentSpan
  readonly #earlier = new Map<string, RecordedAttempt & { end: number }>()
  readonly #open = new Set<StepSpan>()
  #spans: Span[] = []
  #dropped = 0
  #contentLength = 0

  constructor (private readonly sink: SpanSink, private readonly place: RunPlace, private readonly traced: TracedRun) {
    const { runId, attempt } = traced.run
    this.#runSpan = { traceId: place.traceId, spanId: spanIdOfRun(runId), isSampled: true }
    this.#attempt = { id: newSpanId(), number: attempt, start: Date.now() }
    this.context = contextOf(this.attempt, place.state)
  }

  get hasContent (): boolean { return this.place.hasContent && this.#contentLength < MAX_CONTENT }
  get attempt (): ParentSpan { return { ...this.#runSpan, spanId: this.#attempt.id } }
  get state (): string | undefined { return this.place.state }
  get gateway (): GatewayPlace | undefined { return this.place.gateway }

  /** Begins a step. @param creditsBefore what the run has cost before it. */
  openStep (kind: StepKind, creditsBefore?: number): StepSpan {
    const step = new StepSpan(this, kind, creditsBefore)
    this.#open.add(step)
    return step
  }

  onEnd (step: StepSpan, ended: readonly EndedSpan[]): RecordedSpans {
    this.#open.delete(step)
    this.#keep(ended.map(({ span, content }) => this.#withContent(span, content)))
    return { attempt: this.#attempt, spans: ended.map(({ span }) => span) }
  }

  onDropped (step: StepSpan): void {
    this.#open.delete(step)
  }

  /** Takes the spans of a step that an earlier attempt has recorded. */
  keepRecorded (recorded: RecordedSpans | undefined): void {
    // Another release may have recorded otherwise.
    if (!recorded?.attempt || !Array.isArray(recorded.spans)) return
    const { attempt, spans } = recorded
    const end = Math.max(attempt.start, ...spans.map(span => span.end))
    this.#earlier.set(attempt.id, { ...attempt, end: Math.max(end, this.#earlier.get(attempt.id)?.end ?? 0) })
    this.#keep(spans)
  }

  /** The run is settled: sends its spans. @param run as the database has it. */
  end (run: Run, { model }: RunOutcome): void {
    const error = run.error?.code
    for (const step of [...this.#open]) step.end({ error: error ?? (run.status === 'cancelled' ? 'cancelled' : undefined) })
    const now = Date.now()
    const attempts = [...this.#earlier.values()].map(attempt => this.#attemptSpan(attempt, attempt.end, { 'jeesi.attempt.end': 'taken_over' }))
    this.sink.add(this.place.traceId, [
      this.#runOf(run, model), ...attempts, this.#attemptSpan(this.#attempt, now, { 'jeesi.attempt.end': run.status }, error), ...this.#spans
    ], this.place.state)
    this.#spans = []
  }

  /** Bounded by dropping whole steps. */
  #keep (spans: readonly Span[]): void {
    if (this.#spans.length + spans.length > MAX_SPANS) this.#dropped += spans.length
    else this.#spans.push(...spans)
  }

  #withContent (span: Span, content: Attributes): Span {
    const length = Object.values(content).reduce<number>((sum, text) => sum + String(text ?? '').length, 0)
    if (length === 0 || this.#contentLength + length > MAX_CONTENT) return span
    this.#contentLength += length
    return { ...span, attributes: { ...span.attributes, ...content } }
  }

  #attemptSpan ({ id, number, start }: RecordedAttempt, end: number, attributes: Attributes, error?: string): Span {
    return {
      id, parent: this.#runSpan.spanId, name: `attempt ${number}`, kind: SPAN_KIND.internal, start, end, attributes: { 'jeesi.attempt.number': number, ...attributes }, error
    }
  }

  /** It lasts from the run's beginning to its end by the database's clock, waits and takeovers included. */
  #runOf ({ runId, agentId, status, attempt, usage, creditsCharged, error, createdAt, finishedAt }: Run, model: string | null): Span {
    const { kind, agent } = this.traced
    const name = this.place.hasContent && agent?.name ? agent.name : undefined
    return {
      id: this.#runSpan.spanId,
      parent: this.place.parent?.spanId,
      name: name === undefined ? 'invoke_agent' : `invoke_agent ${name}`,
      kind: SPAN_KIND.internal,
      start: Date.parse(createdAt),
      end: finishedAt ? Date.parse(finishedAt) : Date.now(),
      attributes: {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.agent.id': agentId,
        'gen_ai.agent.name': name,
        'gen_ai.response.model': toModelName(model),
        'gen_ai.usage.input_tokens': usage?.promptTokens,
        'gen_ai.usage.output_tokens': usage?.completionTokens,
        'jeesi.run.id': runId,
        'jeesi.run.kind': kind,
        'jeesi.run.status': status,
        'jeesi.run.attempts': attempt,
        'jeesi.credits': creditsCharged,
        'jeesi.spans.dropped': this.#dropped || undefined
      },
      error: error?.code
    }
  }
}
