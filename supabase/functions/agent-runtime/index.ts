import { errors, methodNotAllowed } from '../_shared/errors.ts'
import { ALL_EVENTS, EVENTS_HEADER, PLAIN, readKnownEvents } from '../_shared/reader/known-events.ts'
import { UUID_PATTERN } from '../_shared/uuid.ts'
import type { RunAction } from './backend/ask.ts'
import { readConfig } from './config.ts'
import type { Isolate, RequestContext } from './context.ts'
import { connect, createDatabase } from './database.ts'
import { answerVisitor } from './http/caller.ts'
import { log } from './http/log.ts'
import { answer, answerPreflight } from './http/responses.ts'
import { execute } from './runs/execute.ts'
import { Leases } from './runs/leases.ts'
import { resume } from './runs/resume.ts'
import { openTrace, openTracer, sendSpans } from './traces.ts'

const config = readConfig(name => Deno.env.get(name))
for (const problem of config.problems) log('error', problem, {})
const supabase = connect(config)
const database = createDatabase(supabase)
const tracer = await openTracer(config)
const isolate: Isolate = { config, supabase, database, tracer, leases: new Leases(database), running: new Map(), notedWishes: new Set() }

/** The paths of this function, with the platform's prefix or without. */
const PATH = new RegExp(`^(?:/functions/v1)?/agent-runtime(?:/runs/(${UUID_PATTERN})(?:/(events|cancel))?)?/?$`, 'i')
const VISITORS = /^(?:\/functions\/v1)?\/agent-runtime\/visitors\/?$/i

function serve (request: Request): Promise<Response> | Response {
  if (request.method === 'OPTIONS') return answerPreflight()
  const deadline = Date.now() + config.maxMs
  const trace = openTrace(tracer, request)
  const answering = answer(request, fields => route({ ...isolate, request, fields, deadline, trace }))
  return tracer ? answering.then(response => sendSpans(tracer, trace, response)) : answering
}

async function route (context: Omit<RequestContext, 'known'>): Promise<Response> {
  const { method, headers, url } = context.request
  const { pathname, searchParams } = new URL(url)
  const address = pathname.replace(/\/{2,}/g, '/')
  const [path, runId, action = 'read'] = PATH.exec(address) ?? []
  const isVisitors = VISITORS.test(address)
  if (!path && !isVisitors) throw errors.notFound()
  const taken = runId && action !== 'cancel' ? 'GET' : 'POST'
  if (method !== taken) throw methodNotAllowed([taken])
  if (isVisitors) return answerVisitor({ ...context, known: PLAIN })
  const events = headers.get(EVENTS_HEADER) ?? searchParams.get('events')
  if (runId) return resume({ ...context, known: readKnownEvents(events, ALL_EVENTS) }, runId, action as RunAction)
  return execute({ ...context, known: readKnownEvents(events, PLAIN) })
}

// On Supabase the platform chooses the port.
const port = Deno.env.get('PORT')
if (port) Deno.serve({ port: Number(port), hostname: '127.0.0.1' }, serve)
else Deno.serve(serve)
