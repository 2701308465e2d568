import { SPAN_KIND, type SpanSink } from './span.ts'
import { contextOf, newSpanId, type ParentSpan, type TraceContext } from './trace-context.ts'

/** What a request hands on to the run that it begins. */
export interface RequestTrace {
  /** The trace in which the run is; without one it begins a trace of its own. */
  readonly context?: TraceContext
  /** The request has begun a run. */
  onBegun? (runId: string): void
  /** The request has been answered. */
  end? (outcome: RequestOutcome): void
}

/** What came of a request. */
export interface RequestOutcome {
  readonly statusCode?: number
  /** The code of the error with which it was answered. */
  readonly code?: string
}

/**
 * The span of one request. It ends with the answer, but that of a request which begins a run ends there: the run goes on by itself,
 * and a process that is killed while it streams has sent the span before.
 */
export class RequestSpan implements RequestTrace {
  readonly context: TraceContext
  readonly #id = newSpanId()
  readonly #start = Date.now()
  #hasEnded = false

  /**
   * @param name the method and the pattern of the route, or what a message is called.
   * @param parent the caller's span.
   */
  constructor (
    private readonly sink: SpanSink,
    private readonly traceId: string,
    private readonly name: { readonly method: string, readonly route?: string },
    private readonly parent: ParentSpan | undefined,
    private readonly state: string | undefined
  ) {
    this.context = contextOf({ traceId, spanId: this.#id, isSampled: true }, state)
  }

  onBegun (runId: string): void {
    this.#end({ 'jeesi.run.id': runId })
  }

  /** Ends the span; does nothing if it has ended. */
  end ({ statusCode, code }: RequestOutcome): void {
    const isFault = statusCode !== undefined && statusCode >= 500
    this.#end({ 'http.response.status_code': statusCode, 'jeesi.error.code': code }, isFault ? code ?? String(statusCode) : undefined)
  }

  #end (attributes: Record<string, string | number | undefined>, error?: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const { method, route } = this.name
    this.sink.add(this.traceId, [{
      id: this.#id,
      parent: this.parent?.spanId,
      name: route === undefined ? method : `${method} ${route}`,
      kind: SPAN_KIND.server,
      start: this.#start,
      end: Date.now(),
      attributes: { 'http.request.method': method, 'http.route': route, ...attributes },
      error
    }], this.state)
  }
}
