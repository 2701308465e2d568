import { createHash } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../errors.js'
import { finalEvent } from '../executor/final-event.js'
import type { Agent } from '../executor/prompt.js'
import type { FunctionResult, Message, Run, RunStatus } from '../schemas.js'

/** What it takes to begin a run. */
export interface RunRequest {
  userId: string
  agentId: string
  messages: Message[]
  functionResults?: FunctionResult[]
  /** The agent's configuration where the caller vouches for user, agent and credits; such a run is not charged. */
  agent?: Agent
  idempotencyKey?: string
}

export interface RunFilter {
  userId: string
  limit: number
  status?: RunStatus
  agentId?: string
  /** `nextCursor` of the page before. */
  cursor?: string
}

export interface RunPage { runs: Run[], nextCursor: string | null }

declare module 'fastify' {
  interface FastifyInstance {
    runs: {
      /**
       * Begins a run, or joins the one that the idempotency key has begun. The run goes on by itself; who wants to
       * watch follows its events.
       * @throws {ServiceError} agent_not_found, insufficient_credits, idempotency_key_reused, python_unavailable,
       * queue_full, shutting_down, database_unavailable.
       */
      begin (request: RunRequest): Promise<Run>
      /** A user's run as it stands, with the text so far. Throws `run_not_found`. */
      get (userId: string, runId: string): Promise<Run>
      /** A page of a user's runs, newest first. Throws `bad_request` for a cursor that is none. */
      list (filter: RunFilter): Promise<RunPage>
    }
  }
}

/** Seconds; by then a slot or another process should be there. */
const RETRY_AFTER = 5

interface Begun { run: Run, agent: Agent, joined: boolean }

async function runs (app: FastifyInstance): Promise<void> {
  const { database, executor, queue, events } = app
  app.decorate('runs', { begin, get, list })

  async function begin (request: RunRequest): Promise<Run> {
    if (app.isDraining()) throw errors.shuttingDown().with({ retryAfter: RETRY_AFTER })
    let runId: string | undefined
    const ticket = queue.enter(request.userId, position => {
      if (runId) events.append(runId, { type: 'queued', runId, position })
    })
    if (!ticket) throw errors.queueFull().with({ retryAfter: RETRY_AFTER })
    try {
      const { run, agent, joined } = await database.call<Begun>('begin_run', toArguments(request, ticket.position > 0))
      if (joined) {
        ticket.leave()
        if (run.finishedAt && events.last(run.runId) === undefined) retell(run)
        return run
      }
      runId = run.runId
      if (ticket.position > 0) events.append(runId, { type: 'queued', runId, position: ticket.position })
      executor.launch({ ...request, run, agent, ticket })
      return run
    } catch (error) {
      ticket.leave()
      throw error
    }
  }

  /** A finished run that the log has forgotten is told anew from what is kept of it. */
  function retell (run: Run): void {
    const { runId, agentId, attempt, response } = run
    events.append(runId, { type: 'started', runId, agentId, attempt })
    if (response) events.append(runId, { type: 'chunk', content: response })
    events.append(runId, finalEvent(run))
  }

  async function get (userId: string, runId: string): Promise<Run> {
    const run = await database.call<Run>('get_run', { p_user_id: userId, p_run_id: runId })
    return withProgress(run)
  }

  async function list ({ userId, limit, status, agentId, cursor }: RunFilter): Promise<RunPage> {
    const after = cursor === undefined ? undefined : readCursor(cursor)
    const page = await database.call<{ runs: Run[], next: Position | null }>('list_runs', {
      p_user_id: userId,
      p_limit: limit,
      p_status: status ?? null,
      p_agent_id: agentId ?? null,
      p_after_time: after?.time ?? null,
      p_after_id: after?.id ?? null
    })
    return { runs: page.runs.map(withProgress), nextCursor: page.next && writeCursor(page.next) }
  }

  /** What was said so far stands in the database only at the end. */
  function withProgress (run: Run): Run {
    const progress = run.finishedAt ? undefined : executor.progressOf(run.runId)
    return progress ? { ...run, response: progress.response, usage: progress.usage } : run
  }
}

function toArguments ({ userId, agentId, messages, functionResults, agent, idempotencyKey }: RunRequest, waiting: boolean) {
  return {
    p_user_id: userId,
    p_agent_id: agentId,
    p_request_hash: createHash('sha256').update(JSON.stringify([agentId, messages, functionResults, agent])).digest('hex'),
    p_idempotency_key: idempotencyKey ?? null,
    p_agent: agent ?? null,
    p_waiting: waiting
  }
}

interface Position { time: string, id: string }

const POSITION = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:[+-]\d\d:\d\d|Z)) ([0-9a-f-]{36})$/

function writeCursor ({ time, id }: Position): string {
  return Buffer.from(`${time} ${id}`).toString('base64url')
}

function readCursor (cursor: string): Position {
  const [, time, id] = POSITION.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (!time || !id || Number.isNaN(Date.parse(time)) || !UUID.test(id)) {
    throw errors.badRequest('The cursor is none that this service has given out.')
  }
  return { time, id }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export default fp(runs, { name: 'runs', dependencies: ['database', 'events', 'executor'] })
