import { Ajv } from 'ajv'
import Fastify from 'fastify'
import t from 'tap'
import { SocketMessages } from '../../src/contract/socket-messages.js'
import adminRoutes from '../../src/routes/admin.js'
import agentRoutes from '../../src/routes/agent.js'
import creditRoutes from '../../src/routes/credits.js'
import healthRoutes from '../../src/routes/health.js'
import runRoutes from '../../src/routes/runs.js'

interface RouteSchema { response?: Record<string, object>, [part: string]: object | undefined }

t.test('every schema of a route or message is a JSON schema', async t => {
  const schemas = new Map<string, object>(Object.entries(SocketMessages))
  const app = Fastify()
  // What routes ask for before they are asked themselves.
  for (const name of ['requireUser', 'requireReader', 'requireSession', 'requireBackendSecret', 'countConnection']) app.decorate(name, async () => {})
  app.addHook('onRoute', ({ method, url, schema }) => {
    const { response = {}, ...parts } = (schema ?? {}) as RouteSchema
    for (const [part, it] of Object.entries({ ...parts, ...response })) schemas.set(`${method} ${url} ${part}`, it!)
  })
  for (const routes of [adminRoutes, agentRoutes, creditRoutes, healthRoutes, runRoutes]) await app.register(routes)

  const ajv = new Ajv({ logger: false })
  for (const [name, schema] of schemas) {
    const { content } = schema as { content?: Record<string, { schema: object }> }
    const variants = content ? Object.values(content).map(({ schema }) => schema) : [schema]
    for (const variant of variants) t.ok(ajv.validateSchema(variant), `${name} ${ajv.errorsText()}`)
  }
  for (const name of ['agent_execute', 'POST /api/agent/execute body', 'GET /api/runs 200', 'GET /ready querystring']) t.ok(schemas.has(name), name)
  t.notOk(ajv.validateSchema({ type: 'object', properties: { id: { type: 'uuid' } } }))
})
