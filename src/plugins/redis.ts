import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import type { TakeAmount } from '../redis/amounts.js'
import type { RedisLink } from '../redis/link.js'
import type { StreamReader } from '../redis/stream-reader.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The connection between replicas; undefined without REDIS_URL. */
    redis?: {
      readonly link: RedisLink
      /** Reads any number of streams over one connection. */
      readonly streams: StreamReader
      /** Counts amounts by key, within windows of milliseconds, over all replicas. */
      countAmounts (max: number, windowMs: number): TakeAmount
    }
  }
}

/** The link to Redis, whose modules are loaded only where it is configured. */
async function redis (app: FastifyInstance): Promise<void> {
  const { config, log, owner } = app
  app.decorate('redis', undefined)
  if (!config.redis) return
  const { RedisLink } = await import('../redis/link.js')
  const { createSharedCounter } = await import('../redis/amounts.js')
  const { StreamReader } = await import('../redis/stream-reader.js')
  const link = new RedisLink(config.redis, log as Logger)
  const streams = new StreamReader(link.openConnection(), link.commands, owner)
  app.redis = { link, streams, countAmounts: (max, windowMs) => createSharedCounter(link.commands, max, windowMs) }
  app.shutdown.on('redis', close)
  try {
    await link.connect()
  } catch (error) {
    close()
    throw error
  }

  function close (): void {
    streams.close()
    link.close()
  }
}

export default fp(redis, { name: 'redis', dependencies: ['shutdown'] })
