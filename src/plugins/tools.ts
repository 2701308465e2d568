import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AttemptDeps } from '../executor/run/attempt-deps.js'
import { Outbound } from '../executor/tools/outbound/outbound.js'
import { openToolbox } from '../executor/tools/toolbox.js'
import { Webhooks } from '../executor/tools/webhooks/webhooks.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** HTTP to addresses that users configure. */
    outbound: Outbound
    webhooks: Webhooks
    /** Opens an agent's functions for a run. */
    openToolbox: AttemptDeps['openToolbox']
  }
}

/** What agents' functions use: HTTP to addresses that users configure, webhooks, Python. */
async function tools (app: FastifyInstance): Promise<void> {
  const { privateToolHosts: privateHosts, webhookSecret: secret } = app.config
  const outbound = new Outbound({ privateHosts })
  const webhooks = new Webhooks({ outbound, secret, log: (message, fields) => app.log.info(fields, message) })

  app.decorate('outbound', outbound)
  app.decorate('webhooks', webhooks)
  app.decorate('openToolbox', (agent, context) => openToolbox({ outbound, webhooks, python: app.python }, agent, context))
  app.shutdown.on('webhooks', budgetMs => webhooks.close(budgetMs))
  app.shutdown.on('outbound', () => outbound.close())
}

export default fp(tools, { name: 'tools', dependencies: ['python', 'shutdown'] })
