import { type GatewayPlace, placeOf } from './calls.ts'
import { RequestSpan, type RequestTrace } from './request-span.ts'
import { RunSpans, type TracedRun } from './run-spans.ts'
import { createSampler, type Sampler } from './sampler.ts'
import type { TraceSettings } from './settings.ts'
import { encodeSpan, type Span, type SpanSink } from './span.ts'
import { type ExporterLog, SpanExporter } from './span-exporter.ts'
import { contextOf, newSpanId, newTraceId, parentOf, type TraceContext, traceIdOfRun } from './trace-context.ts'

export interface TracerOptions {
  /** The version of the program. */
  version?: string
  /** For how long spans are gathered before they are sent, in milliseconds; undefined: until the exporter is flushed. */
  delayMs?: number
  /** The base URL of the gateway, if it is known. */
  gatewayUrl?: string
  log: ExporterLog
}

/** Makes the spans of a process. There is one where a collector is configured, and else none. */
export class Tracer implements SpanSink {
  readonly exporter: SpanExporter
  readonly #sampler: Sampler
  readonly #gateway: GatewayPlace | undefined

  constructor (private readonly settings: TraceSettings, { version, delayMs, gatewayUrl, log }: TracerOptions) {
    this.#gateway = gatewayUrl === undefined ? undefined : placeOf(gatewayUrl)
    this.#sampler = createSampler(settings.sampler, settings.ratio)
    this.exporter = new SpanExporter({ ...settings, version, delayMs, log })
  }

  /** Begins the span of a request. If its trace is not recorded, what the caller has handed on is passed on, or that nothing is recorded. */
  openRequest (name: { method: string, route?: string }, incoming: TraceContext | undefined): RequestTrace {
    const parent = incoming && parentOf(incoming)
    const traceId = parent?.traceId ?? newTraceId()
    if (this.#sampler(traceId, parent)) return new RequestSpan(this, traceId, name, parent, incoming?.tracestate)
    return { context: incoming ?? contextOf({ traceId, spanId: newSpanId(), isSampled: false }) }
  }

  /** Begins the spans of an attempt. Undefined if its trace is not recorded. */
  openRun (traced: TracedRun): RunSpans | undefined {
    const { traceContext: context } = traced
    const parent = context && parentOf(context)
    const traceId = parent?.traceId ?? traceIdOfRun(traced.run.runId)
    if (!this.#sampler(traceId, parent)) return undefined
    return new RunSpans(this, { traceId, parent, state: context?.tracestate, gateway: this.#gateway, hasContent: this.settings.hasContent }, traced)
  }

  add (traceId: string, spans: readonly Span[], state?: string): void {
    this.exporter.add(spans.map(span => encodeSpan(traceId, span, state)))
  }
}
