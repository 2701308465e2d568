import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { refuse } from '#shared/http/refuse.ts'
import { errorAnswers, IdempotencyHeaders, Nullable, Run, RunStatus, Uuid } from '#shared/schemas.ts'
import { AdminAgent, NewAgentBody, AgentEditBody, DeletedAgent, EraseBody, ErasedRuns, InspectedAgent, ListedPeriod, MadeUser, NewUserBody, RetentionBody, RetentionPeriod } from '../contract/agents.js'
import { AdminAction, AdminFigures, HeavyAgent, HeavyBody } from '../contract/rows.js'
import { AdminRun, AdminStats, AdminUser, AgentBackend, Credits, GrantBody, InspectedRun, LedgerEntry, RailwayUrlBody, RailwayUrlRequest } from '../contract/schemas.js'
import { FOLLOW_SCHEMA, followRun } from '../http/sse/follow-run.js'

const page = {
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  cursor: Type.Optional(Uuid)
}
const IdParams = Type.Object({ id: Uuid })
const RunQuery = Type.Object({
  ...page,
  userId: Type.Optional(Uuid),
  status: Type.Optional(RunStatus),
  agentId: Type.Optional(Uuid)
})
const UserQuery = Type.Object({ ...page, email: Type.Optional(Type.String({ minLength: 1, maxLength: 320 })) })
const AgentQuery = Type.Object({ ...page, userId: Type.Optional(Uuid), published: Type.Optional(Type.Boolean()), name: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })) })
const WatchQuery = Type.Object({ since: Type.Optional(Type.String({ format: 'time in UTC, ISO 8601', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,6})?Z$' })) })
const RailwayUrlQuery = Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }) })

const nextCursor = Nullable(Type.String())
const RunList = Type.Object({ runs: Type.Array(AdminRun), nextCursor })
const ChangedRuns = Type.Object({ runs: Type.Array(AdminRun), until: Type.String() })
const UserList = Type.Object({ users: Type.Array(AdminUser), nextCursor })
const FigureQuery = Type.Object({ days: Type.Integer({ minimum: 1, maximum: 90, default: 30 }) })
const ActionQuery = Type.Object({ limit: page.limit, cursor: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })) })
const ActionList = Type.Object({ actions: Type.Array(AdminAction), nextCursor: Nullable(Type.Integer()) })
const PeriodList = Type.Object({ periods: Type.Array(ListedPeriod), nextCursor: Nullable(Type.Integer()) })
const AgentList = Type.Object({ agents: Type.Array(AdminAgent), nextCursor })
const RailwayUrls = Type.Object({ requests: Type.Array(RailwayUrlRequest), total: Type.Integer() })
const Ledger = Type.Object({ credits: Credits, entries: Type.Array(LedgerEntry), nextCursor })

/** Administration; the database notes every act with its admin. */
const admin: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/admin/stats', {
    onRequest: app.requireSession,
    schema: { response: { 200: AdminStats, ...errorAnswers } }
  }, async request => app.admin.stats(request.caller!.userId))

  app.get('/api/admin/figures', {
    onRequest: app.requireSession,
    schema: { querystring: FigureQuery, response: { 200: AdminFigures, ...errorAnswers } }
  }, async request => app.admin.figures(request.caller!.userId, request.query.days))

  app.get('/api/admin/actions', {
    onRequest: app.requireSession,
    schema: { querystring: ActionQuery, response: { 200: ActionList, ...errorAnswers } }
  }, async request => app.admin.actions(request.caller!.userId, request.query))

  app.get('/api/admin/runs', {
    onRequest: app.requireSession,
    schema: { querystring: RunQuery, response: { 200: RunList, ...errorAnswers } }
  }, async request => app.admin.runs(request.caller!.userId, request.query))

  app.get('/api/admin/runs/changes', {
    onRequest: app.requireSession,
    schema: { querystring: WatchQuery, response: { 200: ChangedRuns, ...errorAnswers } }
  }, async request => app.admin.watchRuns(request.caller!.userId, request.query.since))

  app.get('/api/admin/runs/:id', {
    onRequest: app.requireSession,
    schema: { params: IdParams, response: { 200: InspectedRun, ...errorAnswers } }
  }, async request => app.admin.run(request.caller!.userId, request.params.id))

  app.get('/api/admin/runs/:id/events', {
    onRequest: [app.requireSession, app.countConnection],
    config: { execution: true },
    schema: { params: IdParams, ...FOLLOW_SCHEMA }
  }, async (request, reply) => {
    const { params: { id: runId }, query, headers } = request
    const access = await app.admin.openRun(request.caller!.userId, runId, 'run_events')
    return followRun(request, reply, { access, runId, query, headers })
  })

  app.post('/api/admin/runs/:id/cancel', {
    onRequest: app.requireSession,
    config: { execution: true },
    schema: { params: IdParams, response: { 200: Run, ...errorAnswers } }
  }, async request => {
    const { id: runId } = request.params
    const adminId = request.caller!.userId
    request.logFields = { runId, adminId }
    return app.runs.cancel(await app.admin.openRun(adminId, runId, 'cancel'), runId)
  })

  await app.register(users)
  await app.register(agents)
  await app.register(texts)
  await app.register(backends)
}

/** Users, and their credits. */
const users: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/admin/users', {
    onRequest: app.requireSession,
    schema: { querystring: UserQuery, response: { 200: UserList, ...errorAnswers } }
  }, async request => app.admin.users(request.caller!.userId, request.query))

  app.post('/api/admin/users', {
    onRequest: app.requireSession,
    schema: { body: NewUserBody, response: { 201: MadeUser, ...errorAnswers } }
  }, async (request, reply) => {
    const adminId = request.caller!.userId
    const user = await app.admin.createUser(adminId, request.body.email)
    app.log.info({ adminId, userId: user.userId }, 'a user was made')
    return reply.code(201).send(user)
  })

  app.get('/api/admin/users/:id/ledger', {
    onRequest: app.requireSession,
    schema: { params: IdParams, querystring: Type.Object(page), response: { 200: Ledger, ...errorAnswers } }
  }, async request => app.admin.ledger(request.caller!.userId, request.params.id, request.query))

  app.post('/api/admin/users/:id/credits', {
    onRequest: app.requireSession,
    schema: { params: IdParams, headers: IdempotencyHeaders, body: GrantBody, response: { 200: Credits, ...errorAnswers } }
  }, async request => {
    const { credits, reason } = request.body
    if (credits === 0) refuse('credits', 'must not be 0')
    const adminId = request.caller!.userId
    const userId = request.params.id
    const balance = await app.admin.grant(adminId, { userId, credits, reason, idempotencyKey: request.headers['idempotency-key'] })
    app.log.info({ adminId, userId, credits }, credits > 0 ? 'credits were granted' : 'credits were taken')
    return balance
  })
}

/** Everybody's agents. */
const agents: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/admin/agents', {
    onRequest: app.requireSession,
    schema: { querystring: AgentQuery, response: { 200: AgentList, ...errorAnswers } }
  }, async request => app.admin.agents(request.caller!.userId, request.query))

  app.post('/api/admin/agents', {
    onRequest: app.requireSession,
    schema: { body: NewAgentBody, response: { 201: InspectedAgent, ...errorAnswers } }
  }, async (request, reply) => {
    const adminId = request.caller!.userId
    const agent = await app.admin.createAgent(adminId, request.body)
    app.log.info({ adminId, agentId: agent.agentId }, 'an agent was made')
    return reply.code(201).send(agent)
  })

  app.get('/api/admin/agents/:id', {
    onRequest: app.requireSession,
    schema: { params: IdParams, response: { 200: InspectedAgent, ...errorAnswers } }
  }, async request => app.admin.agent(request.caller!.userId, request.params.id))

  app.patch('/api/admin/agents/:id', {
    onRequest: app.requireSession,
    schema: { params: IdParams, body: AgentEditBody, response: { 200: InspectedAgent, ...errorAnswers } }
  }, async request => {
    const adminId = request.caller!.userId
    const agent = await app.admin.editAgent(adminId, request.params.id, request.body)
    app.log.info({ adminId, agentId: agent.agentId }, 'an agent was changed')
    return agent
  })

  app.delete('/api/admin/agents/:id', {
    onRequest: app.requireSession,
    schema: { params: IdParams, response: { 200: DeletedAgent, ...errorAnswers } }
  }, async request => {
    const adminId = request.caller!.userId
    const deleted = await app.admin.deleteAgent(adminId, request.params.id)
    app.log.info({ adminId, agentId: deleted.agentId }, 'an agent was deleted')
    return deleted
  })
}

/** The texts of runs: how long they are kept, and their erasing. */
const texts: FastifyPluginAsyncTypebox = async app => {
  for (const subject of ['agent', 'user'] as const) {
    app.post(`/api/admin/${subject}s/:id/erase-runs`, {
      onRequest: app.requireSession,
      schema: { params: IdParams, body: EraseBody, response: { 200: ErasedRuns, ...errorAnswers } }
    }, async request => {
      const adminId = request.caller!.userId
      const { body: { olderThanDays }, params: { id } } = request
      const erased = await app.admin.eraseRuns(adminId, subject === 'user' ? { userId: id, olderThanDays } : { agentId: id, olderThanDays })
      app.log.info({ adminId, [`${subject}Id`]: id, ...erased }, 'texts of runs were erased')
      return erased
    })

    app.post(`/api/admin/${subject}s/:id/retention`, {
      onRequest: app.requireSession,
      schema: { params: IdParams, body: RetentionBody, response: { 200: RetentionPeriod, ...errorAnswers } }
    }, async request => {
      const adminId = request.caller!.userId
      const { body: { days }, params: { id } } = request
      const period = await app.admin.setRetention(adminId, subject === 'user' ? { userId: id } : { agentId: id }, days)
      app.log.info({ adminId, [`${subject}Id`]: id, days }, 'a period of retention was set')
      return period
    })
  }

  app.get('/api/admin/retention', {
    onRequest: app.requireSession,
    schema: { querystring: ActionQuery, response: { 200: PeriodList, ...errorAnswers } }
  }, async request => app.admin.retention(request.caller!.userId, request.query))
}

/** Where agents run, and the backends that their owners ask for. */
const backends: FastifyPluginAsyncTypebox = async app => {
  app.post('/api/admin/agents/:id/heavy', {
    onRequest: app.requireSession,
    schema: { params: IdParams, body: HeavyBody, response: { 200: HeavyAgent, ...errorAnswers } }
  }, async request => {
    const adminId = request.caller!.userId
    const { params: { id: agentId }, body: { heavy } } = request
    const agent = await app.admin.setHeavy(adminId, agentId, heavy)
    app.log.info({ adminId, agentId, heavy }, 'the Heavy switch of an agent was set')
    return agent
  })

  app.get('/api/admin/railway-urls', {
    onRequest: app.requireSession,
    schema: { querystring: RailwayUrlQuery, response: { 200: RailwayUrls, ...errorAnswers } }
  }, async request => app.admin.railwayUrls(request.caller!.userId, request.query.limit))

  app.post('/api/admin/agents/:id/railway-url', {
    onRequest: app.requireSession,
    schema: { params: IdParams, body: RailwayUrlBody, response: { 200: AgentBackend, ...errorAnswers } }
  }, async request => {
    const adminId = request.caller!.userId
    const agentId = request.params.id
    const backend = await app.admin.settleRailwayUrl(adminId, agentId, request.body)
    app.log.info({ adminId, agentId, approved: request.body.approve }, 'a railway_url was settled')
    return backend
  })
}

export default admin
