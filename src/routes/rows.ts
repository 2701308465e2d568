import type { FastifyPluginAsyncTypebox, TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { refuse } from '#shared/http/refuse.ts'
import { errorAnswers, Uuid } from '#shared/schemas.ts'
import { AgentBody, FunctionBody, REQUIRED, Row, ScheduleBody, type WritableTable } from '../contract/rows.js'

/** How an address names a table. */
const TABLES = { agents: 'agents', functions: 'agent_functions', schedules: 'agent_schedules' } as const

/** What of a row a user may write. */
const BODIES = { agents: AgentBody, agent_functions: FunctionBody, agent_schedules: ScheduleBody } as const

const IdParams = Type.Object({ id: Uuid })
const AgentQuery = Type.Object({ agentId: Type.Optional(Uuid) })
const RowList = Type.Object({ rows: Type.Array(Row) })
const Deleted = Type.Object({ deleted: Type.Literal(true) })

/** The rows of users that pages beside Supabase read and write by its REST interface; without a project they do it here. */
const rows: FastifyPluginAsyncTypebox = async app => {
  if (app.config.supabaseUrl !== undefined) return
  for (const [name, table] of Object.entries(TABLES)) register(app, `/api/${name}`, table)

  app.get('/api/firings', {
    onRequest: app.requireSession,
    schema: { querystring: AgentQuery, response: { 200: RowList, ...errorAnswers } }
  }, async request => app.rows.list(request.caller!.userId, 'scheduled_runs', request.query.agentId))
}

function register (instance: FastifyInstance, path: string, table: WritableTable): void {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  app.get(path, {
    onRequest: app.requireSession,
    schema: { querystring: AgentQuery, response: { 200: RowList, ...errorAnswers } }
  }, async request => app.rows.list(request.caller!.userId, table, request.query.agentId))

  app.post(path, {
    onRequest: app.requireSession,
    schema: { body: BODIES[table], response: { 200: Row, ...errorAnswers } }
  }, async request => {
    const row = request.body as Row
    if (row.id === undefined) for (const field of REQUIRED[table]) if (row[field] === undefined) refuse(field, 'is required for a new row')
    return app.rows.save(request.caller!.userId, table, row)
  })

  app.delete(`${path}/:id`, {
    onRequest: app.requireSession,
    schema: { params: IdParams, response: { 200: Deleted, ...errorAnswers } }
  }, async request => app.rows.delete(request.caller!.userId, table, request.params.id))
}

export default rows
