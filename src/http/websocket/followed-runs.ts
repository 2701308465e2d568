import type { Writable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { errors, toServiceError } from '#shared/errors.ts'
import { type Caller, readAccessOf } from '#shared/http/caller.ts'
import { type KnownEvents, readKnownEvents } from '#shared/reader/known-events.ts'
import type { Run } from '#shared/schemas.ts'
import type { RequestTrace } from '#shared/traces/request-span.ts'
import type { TraceContext } from '#shared/traces/trace-context.ts'
import type { CancelMessage, ExecuteMessage, ResumeMessage } from '../../contract/socket-messages.js'
import type { EventLog } from '../../executor/events/event-log.js'
import { follow, type Follower } from '../../executor/events/follow.js'
import { viewFor } from '../../executor/events/viewed-reader.js'
import type { Runs } from '../../executor/run/runs.js'
import { type Followed, SocketReader } from './reader.js'

/** How many runs one connection may follow at a time. */
const MAX_RUNS = 100

/** What following runs takes of the service. */
export interface FollowDeps {
  readonly runs: Pick<Runs, 'begin' | 'resume' | 'cancel'>
  readonly events: EventLog
  isDraining (): boolean
  /** The trace of a message. @param type what the message is called. */
  traceMessage (request: FastifyRequest, type: string, message: Partial<TraceContext>): RequestTrace | undefined
}

/** The runs that one connection begins, follows and cancels. */
export class FollowedRuns {
  readonly #followed = new Map<string, { follower: Follower, reader: SocketReader }>()

  constructor (
    private readonly deps: FollowDeps,
    private readonly socket: WebSocket,
    private readonly connection: Writable,
    /** What the client knows of events, where a message does not say otherwise. */
    private readonly known: KnownEvents
  ) {}

  /** Begins a run and follows it. Returns its id. @param request the connection's handshake. */
  async execute (caller: Caller, message: ExecuteMessage, request: FastifyRequest): Promise<string> {
    const { requestId, events } = message
    const known = readKnownEvents(events, this.known)
    this.#requireRoom()
    const { runId } = await this.#begin(caller, message, this.deps.traceMessage(request, message.type, message))
    // A repeated key on one connection joins the run: only the events that answer a request are sent for it again.
    const followed = this.#followed.get(runId)
    if (followed && requestId !== undefined) followed.reader.join(requestId, this.deps.events.entries(runId))
    else if (!followed) this.#follow({ runId, after: 0, known, requestId })
    return runId
  }

  async #begin ({ userId, apiKeyId, visitor }: Caller, { agentId, messages, idempotencyKey }: ExecuteMessage, trace: RequestTrace | undefined): Promise<Run> {
    try {
      return await this.deps.runs.begin({ kind: 'websocket', userId, apiKeyId, visitor, agentId, messages, idempotencyKey, trace })
    } catch (error) {
      trace?.end?.({ code: toServiceError(error).code })
      throw error
    } finally {
      trace?.end?.({})
    }
  }

  async resume (caller: Caller, { runId, after = 0, events }: ResumeMessage): Promise<void> {
    const known = readKnownEvents(events, this.known)
    this.#requireRoom()
    const run = await this.deps.runs.resume(readAccessOf(caller), runId, after)
    this.#follow({ runId: run.runId, after, known })
  }

  /** Answers with the run's last event, whether this connection follows the run or not. */
  async cancel (caller: Caller, { runId: named }: CancelMessage): Promise<void> {
    const followed = new Set(this.#followed.keys())
    const { runId } = await this.deps.runs.cancel(caller, named)
    if (followed.has(runId)) return
    await this.deps.runs.resume(caller, runId, 0)
    // Of the text the client wants to know nothing any more.
    this.#follow({ runId, after: (this.deps.events.last(runId) ?? 1) - 1, known: new Set([...this.known, 'rewind']) })
  }

  /** Tells clients that do not know `reconnect` that their runs' events end here. */
  cutOff (): void {
    for (const { reader } of this.#followed.values()) reader.cutOff()
  }

  stop (): void {
    for (const { follower } of this.#followed.values()) follower.stop()
    this.#followed.clear()
  }

  #requireRoom (): void {
    if (this.#followed.size >= MAX_RUNS) throw errors.badRequest(`One connection follows ${MAX_RUNS} runs at the most.`)
  }

  #follow (followed: Followed): void {
    const { runId, after, known } = followed
    const { events, isDraining } = this.deps
    // The client may have left while the run began.
    if (this.socket.readyState !== this.socket.OPEN) return
    this.#followed.get(runId)?.follower.stop()
    this.#followed.delete(runId)
    const followFrom = (cursor: number) => {
      const follower = follow(events, runId, cursor, view)
      if (!reader.isAtEnd) this.#followed.set(runId, { follower, reader })
    }
    const reader = new SocketReader(this.socket, this.connection, followed, {
      drained: () => { for (const { follower } of [...this.#followed.values()]) follower.resume() },
      ended: () => { this.#followed.delete(runId) },
      // While this process lives it gets the rest from Redis or from the database.
      evicted: cursor => {
        if (!isDraining()) return followFrom(cursor)
        reader.cutOff()
        reader.end()
      }
    })
    const view = viewFor(reader, events, { runId, after, known })
    followFrom(after)
  }
}
