import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Logs one line a request, with its route's pattern and never its URL, which may hold a token. */
async function requestLog (app: FastifyInstance): Promise<void> {
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

export default fp(requestLog, { name: 'request-log', dependencies: ['request-context'] })
