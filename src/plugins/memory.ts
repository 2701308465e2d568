import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { BodyMemory, type HeldBody } from '../http/body-memory.js'
import { createMemoryBudget, type MemoryBudget } from '../lib/memory/memory-budget.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The memory of this process, by what it is for. */
    memory: MemoryBudget
  }
  interface FastifyRequest {
    /** The memory of the request's body; null if there is none, or it is small. */
    heldBody: HeldBody | null
  }
}

/** Bodies, messages and inputs wait for memory, so that their number does not break the process. */
async function memory (app: FastifyInstance): Promise<void> {
  const budget = createMemoryBudget()
  const bodies = new BodyMemory(budget.arriving, app.config.bodyLimit)
  app.decorate('memory', budget)
  app.decorateRequest('heldBody', null)
  // Hooks of routes, which find the caller, have run by then, and nothing of the body has been read.
  app.addHook('preParsing', (request, reply, payload, done) => {
    if (!bodies.counts(request)) return done(null, payload)
    bodies.admit(request, reply, payload as Readable).then(admitted => done(null, admitted), done)
  })
}

export default fp(memory, { name: 'memory' })
