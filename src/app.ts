import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Config } from './config/config.js'
import { version } from './config/version.js'
import { serializerCompiler, validatorCompiler } from './http/compilers.js'
import { answerClientError, answerFrameworkError } from './http/errors.js'
import { describeRoutes } from './http/reference/openapi.js'
import account from './plugins/account.js'
import { type Hardening, readHardening } from './http/hardening.js'
import admin from './plugins/admin.js'
import auth from './plugins/auth.js'
import connections from './plugins/connections.js'
import database from './plugins/database.js'
import errorHandler from './plugins/error-handler.js'
import events from './plugins/events.js'
import executor from './plugins/executor.js'
import gateway from './plugins/gateway.js'
import leases, { type LeasesOptions } from './plugins/leases.js'
import limits from './plugins/limits.js'
import metrics from './plugins/metrics.js'
import memory from './plugins/memory.js'
import python from './plugins/python.js'
import queue from './plugins/queue.js'
import redis from './plugins/redis.js'
import remoteReaders from './plugins/remote-readers.js'
import requestContext from './plugins/request-context.js'
import runs from './plugins/runs.js'
import schedules from './plugins/schedules.js'
import security from './plugins/security.js'
import shutdown from './plugins/shutdown.js'
import tools from './plugins/tools.js'
import traces from './plugins/traces.js'
import websocket from './plugins/websocket.js'
import adminRoutes from './routes/admin.js'
import agUiRoutes from './routes/faces/ag-ui.js'
import agentRoutes from './routes/agent.js'
import chatRoutes from './routes/faces/chat.js'
import copilotkitRoutes from './routes/faces/copilotkit.js'
import consoleRoutes from './routes/console.js'
import creditRoutes from './routes/credits.js'
import docsRoutes from './routes/docs.js'
import healthRoutes from './routes/health.js'
import keyRoutes from './routes/keys.js'
import mcpRoutes from './routes/faces/mcp.js'
import openaiRoutes from './routes/faces/openai.js'
import responseRoutes from './routes/faces/responses.js'
import metricsRoutes from './routes/metrics.js'
import rowRoutes from './routes/rows.js'
import runRoutes from './routes/runs.js'
import socketRoutes from './routes/socket.js'
import ticketRoutes from './routes/tickets.js'
import widgetRoutes from './routes/widget.js'

declare module 'fastify' {
  interface FastifyInstance {
    config: Config
    /** The id of this process, as the owner of its runs. */
    owner: string
  }
}

/** Builds the service, ready to listen: its plugins in the order of their dependencies, then its routes. How it ends: SHUTDOWN. */
export async function buildApp (config: Config, logger: FastifyBaseLogger): Promise<FastifyInstance> {
  const app = createApp(config, logger, await readHardening())
  await registerPlugins(app, { hasRequests: true })
  await describeRoutes(app, version)
  await app.register(healthRoutes)
  await app.register(metricsRoutes)
  await app.register(agentRoutes)
  await app.register(runRoutes)
  await app.register(creditRoutes)
  await app.register(rowRoutes)
  await app.register(consoleRoutes)
  await app.register(keyRoutes)
  await app.register(adminRoutes)
  await app.register(ticketRoutes)
  await app.register(openaiRoutes)
  await app.register(widgetRoutes)
  await app.register(responseRoutes)
  await app.register(chatRoutes)
  await app.register(mcpRoutes)
  await app.register(agUiRoutes)
  await app.register(copilotkitRoutes)
  await app.register(socketRoutes)
  await app.register(docsRoutes)
  return app
}

/** Builds the service without its users: it makes runs that other processes begin, and answers probes. */
export async function buildWorker (config: Config, logger: FastifyBaseLogger): Promise<FastifyInstance> {
  const app = createApp(config, logger, await readHardening())
  await registerPlugins(app, { hasRequests: false })
  await app.register(healthRoutes)
  await app.register(metricsRoutes)
  return app
}

async function registerPlugins (app: FastifyInstance, { hasRequests }: LeasesOptions): Promise<void> {
  await app.register(shutdown)
  await app.register(requestContext)
  await app.register(traces)
  await app.register(errorHandler)
  await app.register(connections)
  await app.register(memory)
  await app.register(security)
  await app.register(database)
  await app.register(redis)
  await app.register(limits)
  await app.register(auth)
  await app.register(events)
  await app.register(python)
  await app.register(tools)
  await app.register(gateway)
  await app.register(executor)
  await app.register(queue)
  await app.register(leases, { hasRequests })
  await app.register(remoteReaders)
  await app.register(runs)
  await app.register(schedules)
  await app.register(account)
  await app.register(admin)
  await app.register(websocket)
  await app.register(metrics)
}

/** How often connections are looked at whose request does not arrive, at the least. */
const MAX_CHECK_MS = 30_000
/** How long the headers of a request may take, at the most. */
const HEADERS_MS = 60_000

function createApp (config: Config, logger: FastifyBaseLogger, hardening: Hardening): FastifyInstance {
  // Node takes whole milliseconds.
  const requestMs = Math.ceil(config.requestSeconds * 1000)
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: config.bodyLimit,
    // A request that has not arrived by then is answered with 408.
    requestTimeout: requestMs,
    http: {
      // Node takes the smaller of the two for that of the headers, whichever it is.
      headersTimeout: Math.min(HEADERS_MS, requestMs),
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(MAX_CHECK_MS, Math.ceil(requestMs / 4)),
      // Node's own answer would lack the headers of all others, so a hook refuses.
      requireHostHeader: false
    },
    // Live callers put a path behind an address that may end in a slash.
    // A page's name of a chat may have a hundred characters, of which an address needs up to nine for each.
    routerOptions: { ignoreDuplicateSlashes: true, maxParamLength: 1000 },
    // The embedded database takes seconds to initialise, and many more on a busy machine.
    pluginTimeout: 300_000,
    genReqId: () => crypto.randomUUID(),
    // Requests that arrive during a shutdown are answered; new runs are refused with shutting_down.
    return503OnClosing: false,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.decorate('config', config)
  app.decorate('hardening', hardening)
  app.decorate('owner', crypto.randomUUID())
  return app as unknown as FastifyInstance
}
