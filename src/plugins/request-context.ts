import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Caller } from '#shared/http/caller.ts'
import { clientAddress } from '../http/client-address.js'
import type { Refusal } from '../http/errors.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Calls back at each request, so that what is quiet while nothing happens looks at once. Probes do not count. */
    onRequestArrives (wake: () => void): void
  }
  interface FastifyContextConfig {
    /** The route executes agents: operators search its log lines by [AGENT-EXECUTE]. */
    execution?: boolean
    /** Successful requests are not logged: probes. */
    quiet?: boolean
  }
  interface FastifyRequest {
    /** On whose behalf the request is made; null until a hook has authenticated it. */
    caller: Caller | null
    /** The error with which it was answered, if it was. */
    refusal: Refusal | null
    /** What the request's log line has beside the common fields, such as the run it began. */
    logFields: Record<string, unknown> | null
  }
}

/**
 * What hooks and handlers note on a request, who is told that it arrives, and the line that is logged of it, with its route's pattern
 * and never its URL, which may hold a token.
 */
async function requestContext (app: FastifyInstance): Promise<void> {
  const wakes: Array<() => void> = []
  app.decorate('onRequestArrives', (wake: () => void) => { wakes.push(wake) })
  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.is404 && !request.routeOptions.config.quiet) for (const wake of wakes) wake()
    done()
  })
  app.decorateRequest('caller', null)
  app.decorateRequest('logFields', null)
  app.decorateRequest('refusal', null)
  app.addHook('onResponse', (request, reply, done) => {
    if (!request.routeOptions.config.quiet || reply.statusCode >= 500) logRequest(request, reply)
    done()
  })
}

function logRequest (request: FastifyRequest, reply: FastifyReply): void {
  const { config, url: route } = request.routeOptions
  const ms = Math.round(reply.elapsedTime)
  const prefix = config.execution ? '[AGENT-EXECUTE] ' : ''
  const { method } = request
  const { statusCode } = reply
  request.log.info(
    Object.assign({ method, route, statusCode, ms, userId: request.caller?.userId }, request.logFields, refusalFields(request)),
    `${prefix}${method} ${route ?? '(no route)'} ${statusCode} in ${ms} ms`)
}

/** Why a request was refused and, if that is for its caller to mend, where it came from. */
function refusalFields (request: FastifyRequest): object | undefined {
  const { refusal } = request
  if (!refusal) return undefined
  const { code, statusCode, reason } = refusal
  return statusCode === 400 || statusCode === 401 ? { code, reason, address: clientAddress(request) } : { code }
}

export default fp(requestContext, { name: 'request-context' })
