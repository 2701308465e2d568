import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { ServiceError } from '#shared/errors.ts'
import { checkMetricsToken } from '../auth/credentials.js'
import { version } from '../config/version.js'
import { isPrivatelySent } from '../http/client-address.js'
import { LoopDelay } from '../lib/counts/loop-delay.js'
import { Tally } from '../lib/counts/tally.js'
import { Metrics } from '../metrics/metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    metrics: Metrics
    /** Hook: the request comes from this machine or the private network, or has the token of the metrics. */
    requireScraper (request: FastifyRequest): Promise<void>
  }
}

/** What the parts of the process count, for Prometheus. */
async function metrics (app: FastifyInstance): Promise<void> {
  const { config, executor, runs, slots, sharedQueue, streams, sessions, gateway, webhooks, schedules, database, redis } = app
  const loopDelay = new LoopDelay()
  const requests = new Tally<'method' | 'route' | 'status'>()
  app.addHook('onResponse', (request, reply, done) => {
    const { url: route } = request.routeOptions
    requests.add({ method: route ? request.method : 'none', route: route ?? 'none', status: String(reply.statusCode) })
    done()
  })
  app.addHook('onClose', async () => loopDelay.stop())
  app.decorate('metrics', new Metrics({
    build: { version, commit: config.commit },
    executor,
    runs,
    slots,
    maxConcurrentRuns: config.maxConcurrentRuns,
    sharedQueue,
    streams,
    sessions,
    requests,
    gateway: gateway.health,
    webhooks,
    schedules: schedules.figures,
    database,
    redis: redis?.link,
    loopDelay
  }))
  app.decorate('requireScraper', async request => {
    if (isPrivatelySent(request)) return
    try {
      checkMetricsToken(request.headers, config.metricsToken)
    } catch (error) {
      if (error instanceof ServiceError && error.statusCode === 401) await app.countFailedAttempt(request)
      throw error
    }
  })
}

export default fp(metrics, { name: 'metrics', dependencies: ['database', 'redis', 'limits', 'events', 'tools', 'gateway', 'executor', 'queue', 'runs', 'schedules', 'websocket'] })
