import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errorAnswers, Nullable, Uuid } from '#shared/schemas.ts'
import { BalanceEntry } from '../contract/rows.js'
import { Credits } from '../contract/schemas.js'

const LedgerQuery = Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }), cursor: Type.Optional(Uuid) })
const Ledger = Type.Object({ credits: Credits, entries: Type.Array(BalanceEntry), nextCursor: Nullable(Type.String()) })

/** A user's balance, and what changed it. */
const credits: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/credits', {
    onRequest: app.requireReader,
    schema: { response: { 200: Credits, ...errorAnswers } }
  }, async request => app.credits.of(request.caller!.userId))

  app.get('/api/credits/ledger', {
    onRequest: app.requireReader,
    schema: { querystring: LedgerQuery, response: { 200: Ledger, ...errorAnswers } }
  }, async request => app.credits.ledger(request.caller!.userId, request.query))
}

export default credits
