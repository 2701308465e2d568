import { toStorable } from '../text.ts'

export type AttributeValue = string | number | boolean | readonly string[]
/** By their names in the conventions of OpenTelemetry, or below `jeesi.`. What is undefined is left out. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>

/** As OTLP numbers them. */
export const SPAN_KIND = { internal: 1, server: 2, client: 3 } as const
export type SpanKind = typeof SPAN_KIND[keyof typeof SPAN_KIND]

/** A span that has ended. */
export interface Span {
  readonly id: string
  /** Undefined for the first of a trace. */
  readonly parent?: string
  readonly name: string
  readonly kind: SpanKind
  /** Milliseconds since 1970. */
  readonly start: number
  readonly end: number
  readonly attributes: Attributes
  /** Why it failed, in a word; undefined if it did not. */
  readonly error?: string
}

/** Takes spans of one trace. @param state what the trace's callers have handed on. */
export interface SpanSink { add (traceId: string, spans: readonly Span[], state?: string): void }

/** The attempt that has recorded a step, as far as the next attempt has to know it. */
export interface RecordedAttempt { readonly id: string, readonly number: number, readonly start: number }

/** The spans of a step, as they are recorded with it: whoever ends the run sends them. */
export interface RecordedSpans { readonly attempt: RecordedAttempt, readonly spans: readonly Span[] }

/** Characters of one attribute. Texts of messages are cut before, to less. */
const MAX_ATTRIBUTE = 20_000
const MAX_NAME = 200
/** As OTLP numbers it. */
const STATUS_ERROR = 2

/** A span as OTLP has it in JSON. @param state what the trace's callers have handed on. */
export function encodeSpan (traceId: string, { id, parent, name, kind, start, end, attributes, error }: Span, state?: string): string {
  return JSON.stringify({
    traceId,
    spanId: id,
    parentSpanId: parent,
    traceState: state,
    name: toText(name, MAX_NAME),
    kind,
    startTimeUnixNano: toNanoseconds(start),
    endTimeUnixNano: toNanoseconds(Math.max(start, end)),
    attributes: encodeAttributes(error === undefined ? attributes : { ...attributes, 'error.type': error }),
    status: error === undefined ? undefined : { code: STATUS_ERROR }
  })
}

/** Attributes as OTLP has them. */
export function encodeAttributes (attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) => value === undefined ? [] : [{ key, value: encodeValue(value) }])
}

function encodeValue (value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: toText(value, MAX_ATTRIBUTE) }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number') return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  return { arrayValue: { values: value.map(encodeValue) } }
}

/** Whole characters: a collector may refuse all spans for half a one. */
function toText (text: string, max: number): string {
  return toStorable(text.length > max ? text.slice(0, max) : text)
}

/** Microseconds are as much as the clocks have, and as fits a number. */
function toNanoseconds (ms: number): string {
  return `${Math.round(ms * 1000)}000`
}
