import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AttemptDeps } from '../executor/run/attempt.js'
import { Outbound } from '../executor/tools/outbound/outbound.js'
import { openToolbox } from '../executor/tools/toolbox.js'
import { Webhooks } from '../executor/tools/webhooks/webhooks.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** HTTP to where users say. */
    outbound: Outbound
    /** What an agent's functions can do in a run. */
    openToolbox: AttemptDeps['openToolbox']
  }
}

/** What webhooks that are being sent get at the end. */
const CLOSE_MS = 2_000

/** What agents' functions reach out with: HTTP to where users say, webhooks, Python. */
async function tools (app: FastifyInstance): Promise<void> {
  const { privateToolHosts: privateHosts, webhookSecret: secret } = app.config
  const outbound = new Outbound({ privateHosts })
  const webhooks = new Webhooks({ outbound, secret, log: (message, fields) => app.log.info(fields, message) })

  app.decorate('outbound', outbound)
  app.decorate('openToolbox', (agent, context) => openToolbox({ outbound, webhooks, python: app.python }, agent, context))
  app.addHook('onClose', async () => {
    await webhooks.close(CLOSE_MS)
    await outbound.close()
  })
}

export default fp(tools, { name: 'tools', dependencies: ['python'] })
