import { IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import fastifyHelmet from '@fastify/helmet'
import Fastify from 'fastify'

/** Headers that harden an answer, by their names in lower case. */
export type Hardening = Readonly<OutgoingHttpHeaders>

/**
 * Helmet's headers, which are the same for all answers. They are read once, since some answers are written before there is a
 * request that a hook could see.
 */
export async function readHardening (): Promise<Hardening> {
  const app = Fastify()
  await app.register(fastifyHelmet)
  const headers = new Promise<Hardening>(resolve => {
    app.get('/', (_request, reply) => {
      reply.hijack()
      resolve({ ...reply.raw.getHeaders() })
    })
  })
  await app.ready()
  const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: '/' })
  app.routing(request, new ServerResponse(request))
  return headers
}
