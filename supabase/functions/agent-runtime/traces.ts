import type { RequestTrace } from '../_shared/traces/request-span.ts'
import { readTraceContext } from '../_shared/traces/trace-context.ts'
import type { Tracer } from '../_shared/traces/tracer.ts'
import type { Config } from './config.ts'
import { keepAlive, log } from './http/log.ts'

/** Opens what makes spans, which is loaded only where a collector is configured. */
export async function openTracer ({ traces, gatewayUrl }: Config): Promise<Tracer | undefined> {
  if (!traces) return undefined
  const { Tracer } = await import('../_shared/traces/tracer.ts')
  return new Tracer(traces, { gatewayUrl, log })
}

/** The trace of a request: its span where a collector is configured, and else what its caller has handed on. */
export function openTrace (tracer: Tracer | undefined, { method, headers }: Request): RequestTrace | undefined {
  const context = readTraceContext({ traceparent: headers.get('traceparent'), tracestate: headers.get('tracestate') })
  return tracer ? tracer.openRequest({ method, route: '/agent-runtime' }, context) : context && { context }
}

/** Ends the span of a request that has begun no run, and sends what there is while the answer is read. */
export function sendSpans (tracer: Tracer, trace: RequestTrace | undefined, response: Response): Response {
  trace?.end?.({ statusCode: response.status })
  keepAlive(tracer.exporter.flush(), '')
  return response
}
