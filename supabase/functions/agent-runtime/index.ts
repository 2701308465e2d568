import { readConfig } from './config.ts'
import type { Isolate, Visit } from './context.ts'
import { connect, createDatabase } from './database.ts'
import { errors } from './errors.ts'
import { execute } from './runs/execute.ts'
import { answer, answerPreflight } from './http/responses.ts'
import { Leases } from './runs/leases.ts'
import { resume, type Wish } from './runs/resume.ts'

const config = readConfig(name => Deno.env.get(name))
const supabase = connect(config)
const database = createDatabase(supabase)
const isolate: Isolate = { config, supabase, database, leases: new Leases(database), running: new Map() }

/** With the platform's prefix and without. */
const PATH = /^(?:\/functions\/v1)?\/agent-runtime(?:\/runs\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\/(events|cancel))?)?\/?$/i

function serve (request: Request): Promise<Response> | Response {
  if (request.method === 'OPTIONS') return answerPreflight()
  const deadline = Date.now() + config.maxMs
  return answer(request, fields => route({ ...isolate, request, fields, deadline }))
}

function route (visit: Visit): Promise<Response> {
  const { method, url } = visit.request
  const [path, runId, wish = 'run'] = PATH.exec(new URL(url).pathname) ?? []
  if (path && !runId && method === 'POST') return execute(visit)
  if (runId && method === (wish === 'cancel' ? 'POST' : 'GET')) return resume(visit, runId, wish as Wish)
  return Promise.reject(errors.notFound())
}

// On Supabase the platform says where to listen.
const port = Deno.env.get('PORT')
if (port) Deno.serve({ port: Number(port), hostname: '127.0.0.1' }, serve)
else Deno.serve(serve)
