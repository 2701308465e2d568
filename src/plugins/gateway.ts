import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { sayCut } from '#shared/gateway/base-url.ts'
import { Gateway } from '../executor/gateway/gateway.js'
import type { GatewayNews } from '../executor/gateway/health.js'

declare module 'fastify' {
  interface FastifyInstance {
    gateway: Gateway
  }
}

/** The AI gateway that is configured, or the built-in demo model, which is reached like any other. */
async function gatewayPlugin (app: FastifyInstance): Promise<void> {
  const { model, modelIsChosen, streamFlushMs: flushMs } = app.config
  const { url, key, close } = await findGateway(app)
  const gateway = new Gateway({ url, key, model, modelIsChosen, flushMs, onNews: news => tell(app, news) })
  app.decorate('gateway', gateway)
  // In the background: a gateway that is away or silent keeps nothing from starting.
  app.addHook('onListen', async () => { gateway.health.current().catch(() => {}) })
  app.shutdown.on('gateway', async () => {
    await gateway.close()
    await close?.()
  })
}

async function findGateway (app: FastifyInstance): Promise<{ url: string, key?: string, close?: () => Promise<void> }> {
  const { gateway } = app.config
  if (gateway.kind === 'demo') {
    const { startDemoModel } = await import('../demo/demo-model.js')
    app.log.info('no AI gateway is configured: the built-in demo model answers')
    return startDemoModel()
  }
  if (gateway.isCut) app.log.warn(sayCut(gateway.url))
  return gateway
}

function tell ({ log }: FastifyInstance, { state, message, ...fields }: GatewayNews): void {
  if (state === 'refused') log.error(fields, message)
  else if (state === 'up' && fields.status !== undefined) log.info(fields, message)
  else log.warn(fields, message)
}

export default fp(gatewayPlugin, { name: 'gateway', dependencies: ['shutdown'] })
