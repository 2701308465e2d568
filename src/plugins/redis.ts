import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import type { RedisLink } from '../redis/link.js'
import type { Tail } from '../redis/stream-reader.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What joins the replicas; undefined where there is no REDIS_URL. */
    redis?: {
      readonly link: RedisLink
      /** Reads streams, all by one connection. */
      readonly tail: Tail
    }
  }
}

/** Redis is loaded where it is configured. */
async function redis (app: FastifyInstance): Promise<void> {
  const { config, log, owner } = app
  app.decorate('redis', undefined)
  if (!config.redis) return
  const { RedisLink } = await import('../redis/link.js')
  const { Tail } = await import('../redis/stream-reader.js')
  const link = new RedisLink(config.redis, log as Logger)
  const tail = new Tail(link.connect(), link.commands, owner)
  app.redis = { link, tail }
  app.addHook('onClose', async () => close())
  try {
    await link.meet()
  } catch (error) {
    close()
    throw error
  }

  function close (): void {
    tail.close()
    link.close()
  }
}

export default fp(redis, { name: 'redis' })
