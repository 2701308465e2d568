import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Caller } from '#shared/http/caller.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route executes agents: operators search its log lines by [AGENT-EXECUTE]. */
    execution?: boolean
    /** Successful requests are not logged: probes. */
    quiet?: boolean
  }
  interface FastifyRequest {
    /** On whose behalf the request is made; null until a hook has authenticated it. */
    caller: Caller | null
    /** What the request's log line has beside the common fields, such as the run it began. */
    logFields: Record<string, unknown> | null
  }
}

/** What hooks and handlers note on a request, and the line that is logged of it, with its route's pattern and never its URL, which may hold a token. */
async function requestContext (app: FastifyInstance): Promise<void> {
  app.decorateRequest('caller', null)
  app.decorateRequest('logFields', null)
  app.addHook('onResponse', async (request, reply) => {
    const { config, url: route } = request.routeOptions
    if (config.quiet && reply.statusCode < 500) return
    const ms = Math.round(reply.elapsedTime)
    const prefix = config.execution ? '[AGENT-EXECUTE] ' : ''
    const { statusCode } = reply
    request.log.info(
      { method: request.method, route, statusCode, ms, userId: request.caller?.userId, ...request.logFields },
      `${prefix}${request.method} ${route ?? '(no route)'} ${statusCode} in ${ms} ms`)
  })
}

export default fp(requestContext, { name: 'request-context' })
