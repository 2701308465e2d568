import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { ServiceError } from '#shared/errors.ts'
import { within } from '#shared/bounds/within.ts'
import { errorAnswers, ErrorBody } from '#shared/schemas.ts'
import { version } from '../config/version.js'
import { type Audit, Health, Readiness } from '../contract/schemas.js'

/** `deep`: also audits balances, ledger and runs; for admins. */
const ReadyQuery = Type.Object({ deep: Type.Integer({ minimum: 0, maximum: 1, default: 0 }) })
const readyAnswers = { 200: Readiness, ...errorAnswers, 503: Type.Union([Readiness, ErrorBody]) }

/** How long a probe waits for what it asks: a platform's patience may end after a second. */
const PATIENCE_MS = 800

/** Probes: `/health` says that the process is alive and makes no outside call; `/ready`, that a run begun now can be expected to work. */
const health: FastifyPluginAsyncTypebox = async app => {
  const config = { quiet: true, rateLimit: false as const }

  for (const path of ['/health', '/api/agent/health']) {
    app.get(path, { config, schema: { response: { 200: Health } } }, async () => ({
      status: 'healthy' as const,
      timestamp: new Date().toISOString(),
      service: 'jeesi-railway-backend' as const,
      version,
      commit: app.config.commit,
      uptime: process.uptime()
    }))
  }

  app.get('/ready', { config, schema: { querystring: ReadyQuery, response: readyAnswers } }, async (request, reply) => {
    if (request.query.deep) await app.requireSession(request)
    const { health } = app.gateway
    const [database, gateway, python] = await Promise.all([
      within(PATIENCE_MS, app.database.isUp(), () => false),
      within(PATIENCE_MS, health.current(), () => health.last),
      within(PATIENCE_MS, app.pythonState(), () => 'down' as const)
    ])
    const audit = request.query.deep ? database ? await auditFor(request) : null : undefined
    const draining = app.isDraining()
    const ready = database && gateway === 'up' && !draining
    return reply.code(ready ? 200 : 503).send({
      status: ready ? 'ready' : 'not_ready',
      database: database ? 'up' : 'down',
      redis: app.redis ? app.redis.link.isUp ? 'up' : 'down' : 'off',
      // One that refuses the key answers nobody.
      gateway: gateway === 'up' ? 'up' : 'down',
      python,
      schedules: app.config.schedules,
      draining,
      audit
    })
  })

  /** Problems in the ledger are reported and do not make the service unready. */
  async function auditFor (request: FastifyRequest): Promise<Audit | null> {
    try {
      return await app.admin.audit(request.caller!.userId)
    } catch (error) {
      if (error instanceof ServiceError && error.statusCode < 500) throw error
      return null
    }
  }
}

export default health
