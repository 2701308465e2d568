/** To which trace work belongs, as W3C Trace Context hands it on. Both texts are valid as headers. */
export interface TraceContext { readonly traceparent: string, readonly tracestate?: string }

/** What a `traceparent` says. */
export interface ParentSpan {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  /** Whether who sent it records its spans. */
  readonly isSampled: boolean
}

/** Version, trace, span, flags; a later version may have more behind a dash. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const NOTHING = /^0+$/
const SAMPLED = 1
/** The flags that are known: sampled, and that the trace's id is random. */
const FLAGS = 3

const MAX_STATE = 512
const MAX_MEMBERS = 32
const MEMBER = /^(?:[a-z0-9][-_*/a-z0-9]{0,255}|[a-z0-9][-_*/a-z0-9]{0,240}@[a-z][-_*/a-z0-9]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/

/**
 * Reads the headers of a caller, or what a message has instead. What is malformed is left out, as the standard has it: without a
 * valid `traceparent` there is no context, and a `tracestate` that is not valid is not passed on.
 */
export function readTraceContext (headers: object): TraceContext | undefined {
  const { traceparent, tracestate } = headers as { traceparent?: unknown, tracestate?: unknown }
  if (typeof traceparent !== 'string') return undefined
  const match = TRACEPARENT.exec(traceparent.trim())
  if (!match) return undefined
  const [, version, traceId = '', spanId = '', flags = '', rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined) || NOTHING.test(traceId) || NOTHING.test(spanId)) return undefined
  const state = typeof tracestate === 'string' ? readState(tracestate) : undefined
  return toContext(traceId, spanId, parseInt(flags, 16) & FLAGS, state)
}

/** What a context says. */
export function parentOf ({ traceparent }: TraceContext): ParentSpan {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-')
  return { traceId, spanId, isSampled: (parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** The context that a span hands on. */
export function contextOf ({ traceId, spanId, isSampled }: ParentSpan, tracestate?: string): TraceContext {
  return toContext(traceId, spanId, isSampled ? SAMPLED : 0, tracestate)
}

/** The headers by which a context is sent; none without one. */
export function traceHeaders (context: TraceContext | undefined): Record<string, string> {
  if (!context) return {}
  const { traceparent, tracestate } = context
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate }
}

/** A new id of a trace. */
export function newTraceId (): string {
  return randomHex(16)
}

/** A new id of a span. */
export function newSpanId (): string {
  return randomHex(8)
}

/**
 * The span of a run: whoever ends the run knows its id without being told, since it is half of the run's own. That half of a UUID
 * has its variant in it, so it is never nothing.
 */
export function spanIdOfRun (runId: string): string {
  return runId.replaceAll('-', '').slice(16).toLowerCase()
}

/** The trace of a run that no trace was handed to. */
export function traceIdOfRun (runId: string): string {
  return runId.replaceAll('-', '').toLowerCase()
}

function toContext (traceId: string, spanId: string, flags: number, tracestate?: string): TraceContext {
  const traceparent = `00-${traceId}-${spanId}-0${flags}`
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate }
}

/** A list that is valid and not too long, without its blanks; else undefined. */
function readState (text: string): string | undefined {
  if (text.length > MAX_STATE) return undefined
  const members = text.split(',').map(member => member.trim()).filter(member => member !== '')
  const keys = new Set(members.map(member => member.split('=')[0]))
  const isValid = members.length > 0 && members.length <= MAX_MEMBERS && keys.size === members.length && members.every(member => MEMBER.test(member))
  return isValid ? members.join(',') : undefined
}

function randomHex (bytes: number): string {
  const digits = [...crypto.getRandomValues(new Uint8Array(bytes))].map(byte => byte.toString(16).padStart(2, '0')).join('')
  return NOTHING.test(digits) ? randomHex(bytes) : digits
}
