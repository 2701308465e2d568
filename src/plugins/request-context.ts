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

/** What hooks and handlers note on a request for those that run after them. */
async function requestContext (app: FastifyInstance): Promise<void> {
  app.decorateRequest('caller', null)
  app.decorateRequest('logFields', null)
}

export default fp(requestContext, { name: 'request-context' })
