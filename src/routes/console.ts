import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors } from '#shared/errors.ts'
import { errorAnswers } from '#shared/schemas.ts'
import { ROOT } from '../config/root.js'
import { version } from '../config/version.js'
import { ConsoleSettings, DemoSession, DemoSessionBody } from '../contract/rows.js'
import { keepFile, readConsole, sendFile } from '../http/console/files.js'
import { isLoopback } from '../http/console/loopback.js'
import { consolePage, consolePolicy, UNBUILT_PAGE } from '../http/console/page.js'

const FileParams = Type.Object({ file: Type.String({ maxLength: 100 }) })
const text = Type.String()

/** The console: its page, its files, and what it asks before anybody has signed in. */
const console: FastifyPluginAsyncTypebox = async app => {
  const { config: { console: isOn, supabaseUrl, supabaseAnonKey, database }, demoUsers } = app
  if (!isOn) return
  const files = await readConsole(new URL('dist/', ROOT))
  const page = await keepFile('text/html', files.size > 0 ? consolePage(files.keys()) : UNBUILT_PAGE)
  const headers = { 'content-security-policy': consolePolicy(supabaseUrl) }
  const signIn = supabaseUrl && supabaseAnonKey ? 'supabase' : 'token'

  const pageRoute = {
    config: { quiet: true },
    schema: { response: { 200: { content: { 'text/html': { schema: text } } }, 304: Type.Null(), ...errorAnswers } },
    handler: async (request: FastifyRequest, reply: FastifyReply) => sendFile(request, reply, page, headers)
  }
  app.get('/console', pageRoute)
  // What a newcomer opens first.
  if (database.kind === 'embedded') app.get('/', pageRoute)

  app.get('/console/:file', {
    config: { quiet: true },
    schema: {
      params: FileParams,
      response: { 200: { content: { 'text/javascript': { schema: text }, 'text/css': { schema: text } } }, 304: Type.Null(), ...errorAnswers }
    }
  }, async (request, reply) => {
    const file = files.get(request.params.file)
    if (!file) throw errors.notFound()
    return sendFile(request, reply, file)
  })

  app.get('/api/console', {
    config: { quiet: true },
    schema: { response: { 200: ConsoleSettings, ...errorAnswers } }
  }, async (request, reply) => {
    const isDemo = demoUsers !== undefined && isLoopback(request)
    reply.header('cache-control', 'no-store')
    return {
      version,
      signIn: isDemo ? 'demo' as const : signIn as 'supabase' | 'token',
      supabaseUrl: signIn === 'supabase' ? supabaseUrl! : null,
      supabaseKey: signIn === 'supabase' ? supabaseAnonKey! : null,
      users: isDemo ? await demoUsers.list() : []
    }
  })

  if (!demoUsers) return
  app.post('/api/console/sessions', {
    schema: { body: DemoSessionBody, response: { 201: DemoSession, ...errorAnswers } }
  }, async (request, reply) => {
    if (!isLoopback(request)) throw errors.demoUsersElsewhere()
    return reply.code(201).header('cache-control', 'no-store').send(await demoUsers.begin(request.body.userId))
  })
}

export default console
