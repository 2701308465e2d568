import { errors } from '../_shared/errors.ts'
import { UUID_PATTERN } from '../_shared/uuid.ts'
import { readConfig } from './config.ts'
import type { Isolate, RequestContext } from './context.ts'
import { connect, createDatabase } from './database.ts'
import { answer, answerPreflight } from './http/responses.ts'
import { execute } from './runs/execute.ts'
import { Leases } from './runs/leases.ts'
import { resume, type RunAction } from './runs/resume.ts'

const config = readConfig(name => Deno.env.get(name))
const supabase = connect(config)
const database = createDatabase(supabase)
const isolate: Isolate = { config, supabase, database, leases: new Leases(database), running: new Map() }

/** The paths of this function, with the platform's prefix or without. */
const PATH = new RegExp(`^(?:/functions/v1)?/agent-runtime(?:/runs/(${UUID_PATTERN})(?:/(events|cancel))?)?/?$`, 'i')

function serve (request: Request): Promise<Response> | Response {
  if (request.method === 'OPTIONS') return answerPreflight()
  const deadline = Date.now() + config.maxMs
  return answer(request, fields => route({ ...isolate, request, fields, deadline }))
}

function route (context: RequestContext): Promise<Response> {
  const { method, url } = context.request
  const [path, runId, action = 'read'] = PATH.exec(new URL(url).pathname.replace(/\/{2,}/g, '/')) ?? []
  if (path && !runId && method === 'POST') return execute(context)
  if (runId && method === (action === 'cancel' ? 'POST' : 'GET')) return resume(context, runId, action as RunAction)
  return Promise.reject(errors.notFound())
}

// On Supabase the platform chooses the port.
const port = Deno.env.get('PORT')
if (port) Deno.serve({ port: Number(port), hostname: '127.0.0.1' }, serve)
else Deno.serve(serve)
