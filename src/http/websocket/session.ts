import type { FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import { errors, toServiceError } from '#shared/errors.ts'
import { type KnownEvents, readKnownEvents } from '#shared/reader/known-events.ts'
import type { Caller } from '../../contract/caller.js'
import type { CancelMessage, ExecuteMessage, ResumeMessage } from '../../contract/socket-messages.js'
import type { EventLog } from '../../executor/events/event-log.js'
import { follow, type Follower } from '../../executor/events/follow.js'
import { viewFor } from '../../executor/events/viewed-reader.js'
import type { Runs } from '../../executor/run/runs.js'
import { BODY_COST, type MemoryBudget, UNCOUNTED_BODY } from '../../lib/memory-budget.js'
import type { Hold } from '../../lib/memory-share.js'
import { takeMemory, WAITING_MESSAGES } from '../arriving-memory.js'
import { clientAddress } from '../client-address.js'
import { check, type ClientMessage, read, shortText } from './messages.js'
import { CLOSE, type Session } from './protocol.js'
import { type Followed, HIGH_WATER, SocketReader } from './reader.js'

/** How long a new connection has to authenticate, and one whose token has expired to do so again. */
const FIRST_AUTH_MS = 10_000
const NEXT_AUTH_MS = 60_000
/** Messages that may wait for those before them; beyond, the socket is not read. */
const MAX_PENDING = 32
/** Bytes of messages that wait, likewise. */
const MAX_PENDING_BYTES = 256 * 1024
/** How many runs one connection may follow at a time. */
const MAX_RUNS = 100
const RUN_MESSAGES = new Set(['agent_execute', 'resume', 'cancel'])

/** What a session uses of the service. */
export interface SessionDeps {
  /** Finds who a token is. Throws `unauthorized`. */
  authenticate (token: string): Promise<Caller>
  /** Count against the caller's or the address's rate limit. Throw `rate_limited`. */
  countMessage (request: FastifyRequest): Promise<void>
  countFailedAttempt (request: FastifyRequest): Promise<void>
  readonly runs: Pick<Runs, 'begin' | 'resume' | 'cancel'>
  readonly events: EventLog
  readonly memory: MemoryBudget
  isDraining (): boolean
}

/** One connection: its caller, and the runs it follows. */
export class SocketSession implements Session {
  #caller?: Caller
  /** When the connection is closed unless somebody authenticates. */
  #authDeadline = Date.now() + FIRST_AUTH_MS
  #followed = new Map<string, { follower: Follower, reader: SocketReader }>()
  #pending = 0
  #pendingBytes = 0
  #isPaused = false
  #order: Promise<void> = Promise.resolve()
  #missedPongs = 0
  /** When the last of the session's own answers has left. */
  #flushed: Promise<void> = Promise.resolve()

  constructor (
    private readonly deps: SessionDeps,
    private readonly socket: WebSocket,
    private readonly request: FastifyRequest,
    /** What the client knows of events, where a message does not say otherwise. */
    private readonly known: KnownEvents
  ) {
    socket.on('message', (data, isBinary) => this.#enqueue(() => this.#receive(data as Buffer, isBinary), (data as Buffer).length))
    socket.on('pong', () => { this.#missedPongs = 0 })
    socket.on('close', () => this.#end())
  }

  /** @param token of the URL or the subprotocol; without one the first message has to have it. */
  begin (token: string | undefined): void {
    if (token !== undefined) this.#enqueue(() => this.#authenticate(token))
  }

  tick (now: number): void {
    if (this.#authDeadline <= now) {
      this.close(CLOSE.policy, this.#caller ? 'the access token has expired' : 'no token came in time')
    } else if (this.#caller && this.#caller.expiresAt <= now && this.#authDeadline === Infinity) {
      this.#authDeadline = now + NEXT_AUTH_MS
      this.#send({ type: 'auth_required' })
    }
  }

  ping (): void {
    if (this.#missedPongs >= 2) return this.socket.terminate()
    this.#missedPongs++
    this.socket.ping()
  }

  close (code: number, reason: string): void {
    for (const { reader } of this.#followed.values()) reader.cutOff()
    this.socket.close(code, reason)
  }

  /** Handles messages one after the other, and keeps few of them in memory. */
  #enqueue (handle: () => Promise<void>, bytes = 0): void {
    this.#count(1, bytes)
    this.#order = this.#order.then(handle).then(() => this.#makeRoom()).finally(() => this.#count(-1, -bytes))
  }

  #count (messages: number, bytes: number): void {
    this.#pending += messages
    this.#pendingBytes += bytes
    const isFull = this.#pending >= MAX_PENDING || this.#pendingBytes >= MAX_PENDING_BYTES
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.socket.pause()
    else this.socket.resume()
  }

  /** Takes the memory that the message needs until it is handled. One for which there is none is refused unread. */
  async #receive (data: Buffer, isBinary: boolean): Promise<void> {
    if (this.socket.readyState !== this.socket.OPEN) return
    if (data.length <= UNCOUNTED_BODY) return this.#receiveHeld(data, isBinary)
    let hold: Hold | undefined
    try {
      const caller = this.#caller?.userId ?? clientAddress(this.request)
      hold = await takeMemory(this.deps.memory.arriving, caller, data.length * BODY_COST, this.socket, WAITING_MESSAGES)
      await this.#receiveHeld(data, isBinary)
    } catch (error) {
      this.#refuse(error)
    } finally {
      hold?.release()
    }
  }

  async #receiveHeld (data: RawData, isBinary: boolean): Promise<void> {
    if (this.socket.readyState !== this.socket.OPEN) return
    const message = read(data, isBinary)
    try {
      await this.deps.countMessage(this.request)
      if (message instanceof Error) throw message
      check(message)
      await this.#handle(message)
    } catch (error) {
      this.#refuse(error, message instanceof Error ? null : message)
    }
  }

  /** Holds the next message of a client that does not read the answers to those before. */
  async #makeRoom (): Promise<void> {
    if (this.socket.bufferedAmount >= HIGH_WATER) await this.#flushed
  }

  async #handle (message: ClientMessage): Promise<void> {
    if (message.type === 'auth') return this.#authenticate((message as unknown as { token: string }).token)
    if (message.type === 'ping') return this.#send({ type: 'pong', timestamp: new Date().toISOString() })
    if (!this.#caller || this.#caller.expiresAt <= Date.now()) {
      throw errors.unauthorized('Authenticate first: {"type":"auth","token":"…"}.')
    }
    if (message.type === 'resume') return this.#resume(this.#caller, message as ResumeMessage)
    if (message.type === 'cancel') return this.#cancel(this.#caller, message as CancelMessage)
    return this.#execute(this.#caller, message as ExecuteMessage)
  }

  async #authenticate (token: string): Promise<void> {
    try {
      const caller = await this.deps.authenticate(token)
      if (this.#caller && this.#caller.userId !== caller.userId) {
        throw errors.unauthorized('The token is another user\'s than this connection.')
      }
      this.#caller = this.request.caller = caller
      this.#authDeadline = Infinity
      this.#send({ type: 'connected', message: 'Connected to jeesi-railway-backend.', userId: caller.userId })
    } catch (error) {
      const failure = toServiceError(error)
      if (failure.statusCode !== 401) return this.#refuse(failure)
      await this.deps.countFailedAttempt(this.request).catch(() => {})
      this.close(CLOSE.policy, failure.message)
    }
  }

  async #execute (caller: Caller, { agentId, messages, idempotencyKey, requestId, events }: ExecuteMessage): Promise<void> {
    const known = readKnownEvents(events, this.known)
    this.#requireRoom()
    const { runId } = await this.deps.runs.begin({ userId: caller.userId, agentId, messages, idempotencyKey })
    this.request.log.info({ runId, agentId, userId: caller.userId }, '[AGENT-EXECUTE] WebSocket agent_execute')
    // A repeated key on one connection joins the run: only the events that answer a request are sent for it again.
    const followed = this.#followed.get(runId)
    if (followed && requestId !== undefined) followed.reader.join(requestId, this.deps.events.entries(runId))
    else if (!followed) this.#follow({ runId, after: 0, known, requestId })
  }

  async #resume (caller: Caller, { runId, after = 0, events }: ResumeMessage): Promise<void> {
    const known = readKnownEvents(events, this.known)
    this.#requireRoom()
    await this.deps.runs.resume(caller.userId, runId, after)
    this.#follow({ runId, after, known })
  }

  /** Answers with the run's last event, whether this connection follows the run or not. */
  async #cancel (caller: Caller, { runId }: CancelMessage): Promise<void> {
    const isFollowed = this.#followed.has(runId)
    await this.deps.runs.cancel(caller.userId, runId)
    if (isFollowed) return
    await this.deps.runs.resume(caller.userId, runId, 0)
    // Of the text the client wants to know nothing any more.
    this.#follow({ runId, after: (this.deps.events.last(runId) ?? 1) - 1, known: new Set([...this.known, 'rewind']) })
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
    const reader = new SocketReader(this.socket, this.request.raw.socket, followed, {
      drained: () => { for (const { follower } of [...this.#followed.values()]) follower.resume() },
      ended: () => { this.#followed.delete(runId) },
      // While this process lives it gets the rest from Redis or from the database.
      evicted: cursor => {
        if (!isDraining()) return followFrom(cursor)
        reader.cutOff()
        reader.end()
      }
    })
    const view = viewFor(reader, events, runId, after, known)
    followFrom(after)
  }

  /** Refuses a message; the connection stays open. */
  #refuse (error: unknown, message: ClientMessage | null = null): void {
    const failure = toServiceError(error)
    if (failure.statusCode === 500) this.request.log.error({ err: error }, 'unexpected error')
    const { code, message: sentence, retryAfter, details } = failure
    const isOfRun = message && RUN_MESSAGES.has(message.type) && !details
    const type = isOfRun ? 'agent_execution_error' : 'error'
    const { requestId, runId } = message ?? {}
    if (isOfRun) this.request.log.info({ code, userId: this.#caller?.userId }, `[AGENT-EXECUTE] WebSocket ${message.type} refused`)
    this.#send({ type, error: sentence, code, retryAfter, details, requestId: shortText(requestId), runId: shortText(runId) })
  }

  #send (message: object): void {
    if (this.socket.readyState !== this.socket.OPEN) return
    this.#flushed = new Promise(resolve => { this.socket.send(JSON.stringify(message), () => resolve()) })
  }

  #end (): void {
    for (const { follower } of this.#followed.values()) follower.stop()
    this.#followed.clear()
  }
}
