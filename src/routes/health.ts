import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServiceError } from '#shared/errors.ts'
import { errorAnswers, ErrorBody } from '#shared/schemas.ts'
import { version } from '../config/version.js'
import { type Audit, Health, Readiness } from '../contract/schemas.js'

/** `deep`: also audits balances, ledger and runs; for admins. */
const ReadyQuery = Type.Object({ deep: Type.Integer({ minimum: 0, maximum: 1, default: 0 }) })
const readyAnswers = { 200: Readiness, ...errorAnswers, 503: Type.Union([Readiness, ErrorBody]) }

/** How long the gateway's state is cached, so that not every probe calls it. */
const GATEWAY_STATE_MS = 10_000

/** Probes: `/health` says that the process is alive and makes no outside call; `/ready`, that a run begun now can be expected to work. */
const health: FastifyPluginAsyncTypebox = async app => {
  const config = { quiet: true, rateLimit: false as const }
  const gatewayState = cached(GATEWAY_STATE_MS, () => app.gateway.isReachable())

  for (const path of ['/health', '/api/agent/health']) {
    app.get(path, { config, schema: { response: { 200: Health } } }, async () => ({
      status: 'healthy' as const,
      timestamp: new Date().toISOString(),
      service: 'jeesi-railway-backend' as const,
      version,
      uptime: process.uptime()
    }))
  }

  app.get('/ready', { config, schema: { querystring: ReadyQuery, response: readyAnswers } }, async (request, reply) => {
    const audit = request.query.deep ? await auditFor(request) : undefined
    const [database, gateway, python] = await Promise.all([app.database.isUp(), gatewayState(), app.pythonState()])
    const draining = app.isDraining()
    const ready = database && gateway && !draining
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ready' : 'not_ready',
      database: database ? 'up' : 'down',
      redis: app.redis ? app.redis.link.isUp ? 'up' : 'down' : 'off',
      gateway: gateway ? 'up' : 'down',
      python,
      schedules: app.config.schedules,
      draining,
      audit
    })
  })

  /** Problems in the ledger are reported and do not make the service unready. */
  async function auditFor (request: FastifyRequest): Promise<Audit | null> {
    await app.requireSession(request)
    try {
      return await app.admin.audit(request.caller!.userId)
    } catch (error) {
      if (error instanceof ServiceError && error.statusCode < 500) throw error
      return null
    }
  }
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
