import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { RequestTrace } from '#shared/traces/request-span.ts'
import { readTraceContext, type TraceContext } from '#shared/traces/trace-context.ts'
import type { Tracer } from '#shared/traces/tracer.ts'
import { version } from '../config/version.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined where no collector of traces is configured. */
    tracer: Tracer | undefined
    /** The trace of a message on a WebSocket: its own, or else that of the handshake. */
    traceMessage (request: FastifyRequest, type: string, message: Partial<TraceContext>): RequestTrace | undefined
  }
  interface FastifyRequest {
    /** What the request hands on to the run that it begins. Undefined if it is in no trace, and none is recorded. */
    trace: RequestTrace | undefined
  }
}

/** How long spans are gathered before they are sent. */
const DELAY_MS = 200

/** Traces, where a collector is configured; elsewhere what a caller has handed on is passed on, and read only when a run begins. */
async function traces (app: FastifyInstance): Promise<void> {
  const tracer = await openTracer(app)
  app.decorate('tracer', tracer)
  app.decorate('traceMessage', (request, type, message) => {
    const context = readTraceContext(message) ?? readTraceContext(request.headers)
    return tracer ? tracer.openRequest({ method: type }, context) : context && { context }
  })
  if (!tracer) {
    app.decorateRequest('trace', { getter () { return passedOn(this.headers) } })
    return
  }
  app.decorateRequest('trace', undefined)
  app.addHook('onRequest', (request, _reply, done) => {
    const { config, url: route } = request.routeOptions
    if (!config.quiet) request.trace = tracer.openRequest({ method: request.method, route }, readTraceContext(request.headers))
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    request.trace?.end?.({ statusCode: reply.statusCode, code: request.refusal?.code })
    done()
  })
  app.shutdown.on('traces', () => tracer.exporter.close())
}

/** Loaded only where it is configured. */
async function openTracer ({ config, owner, log }: FastifyInstance): Promise<Tracer | undefined> {
  if (!config.traces) return undefined
  const { Tracer } = await import('#shared/traces/tracer.ts')
  const resource = { 'service.version': version, 'service.instance.id': owner, ...config.traces.resource }
  const gatewayUrl = config.gateway.kind === 'remote' ? config.gateway.url : undefined
  return new Tracer({ ...config.traces, resource }, { version, delayMs: DELAY_MS, gatewayUrl, log: (level, message, fields) => log[level](fields, message) })
}

function passedOn (headers: FastifyRequest['headers']): RequestTrace | undefined {
  const context = readTraceContext(headers)
  return context && { context }
}

export default fp(traces, { name: 'traces', dependencies: ['request-context', 'shutdown'] })
