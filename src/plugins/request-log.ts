import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route executes agents: operators search its lines by [AGENT-EXECUTE]. */
    execution?: boolean
    /** Its requests are not worth a line: probes. */
    quiet?: boolean
  }
  interface FastifyRequest {
    /** What the request's line says beside the common: the run it began … */
    logFields: Record<string, unknown> | null
  }
}

/** One line a request, with its route's pattern and never its URL, in which a token may stand. */
async function requestLog (app: FastifyInstance): Promise<void> {
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

export default fp(requestLog, { name: 'request-log' })
