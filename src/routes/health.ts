import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Health, Readiness } from '../schemas.js'
import { version } from '../version.js'

/** How long an answer of the gateway's is taken for its state, so that probes are not calls. */
const GATEWAY_STATE_MS = 10_000

/** Probes: `/health` says that the process lives and asks nobody; `/ready`, that a run begun now can be expected to work. */
const health: FastifyPluginAsyncTypebox = async app => {
  const config = { quiet: true, rateLimit: false as const }
  const gatewayState = cached(GATEWAY_STATE_MS, () => app.gateway.isReachable())

  app.get('/health', { config, schema: { response: { 200: Health } } }, async () => ({
    status: 'healthy' as const,
    timestamp: new Date().toISOString(),
    service: 'jeesi-railway-backend' as const,
    version,
    uptime: process.uptime()
  }))

  app.get('/ready', { config, schema: { response: { 200: Readiness, 503: Readiness } } }, async (_request, reply) => {
    const [database, gateway] = await Promise.all([app.database.isUp(), gatewayState()])
    const draining = app.isDraining()
    const ready = database && gateway && !draining
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ready' : 'not_ready',
      database: database ? 'up' : 'down',
      redis: 'off',
      gateway: gateway ? 'up' : 'down',
      python: 'off',
      draining
    })
  })
}

function cached<T> (ms: number, ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined
  let until = 0
  return () => {
    if (!answer || Date.now() >= until) {
      answer = ask()
      until = Date.now() + ms
    }
    return answer
  }
}

export default health
