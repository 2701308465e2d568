import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Gateway } from '../executor/gateway/gateway.js'

declare module 'fastify' {
  interface FastifyInstance {
    gateway: Gateway
  }
}

/** The AI gateway that is configured, or the built-in demo model, which is reached like any other. */
async function gatewayPlugin (app: FastifyInstance): Promise<void> {
  const { model, modelIsChosen, streamFlushMs: flushMs } = app.config
  const { url, key, close } = await findGateway(app)
  const gateway = new Gateway({ url, key, model, modelIsChosen, flushMs })
  app.decorate('gateway', gateway)
  app.shutdown.on('gateway', async () => {
    await gateway.close()
    await close?.()
  })
}

async function findGateway (app: FastifyInstance): Promise<{ url: string, key?: string, close?: () => Promise<void> }> {
  const { gateway } = app.config
  if (gateway.kind === 'remote') return gateway
  const { startDemoModel } = await import('../demo/demo-model.js')
  app.log.info('no AI gateway is configured: the built-in demo model answers')
  return startDemoModel()
}

export default fp(gatewayPlugin, { name: 'gateway', dependencies: ['shutdown'] })
