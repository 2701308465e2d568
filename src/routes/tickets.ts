import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { readAccessOf } from '#shared/http/caller.ts'
import { errorAnswers } from '#shared/schemas.ts'
import { Ticket, TicketBody } from '../contract/api-keys.js'

/** Tickets, which stand in an address in the place of a token. */
const tickets: FastifyPluginAsyncTypebox = async app => {
  app.post('/api/tickets', {
    onRequest: app.requireUser,
    // All that a body may have is optional.
    preValidation: async request => { request.body ??= {} },
    schema: { body: TicketBody, response: { 201: Ticket, ...errorAnswers } }
  }, async (request, reply) => {
    const caller = request.caller!
    const { runId } = request.body
    // Of a run that the caller may not read there is no ticket.
    if (runId) await app.runs.get(readAccessOf(caller), runId)
    return reply.code(201).header('cache-control', 'no-store').send(await app.tickets.create(caller, runId ?? undefined))
  })
}

export default tickets
