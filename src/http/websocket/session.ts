import type { FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'
import { errors, type ServiceError, toServiceError } from '#shared/errors.ts'
import type { Caller } from '#shared/http/caller.ts'
import type { KnownEvents } from '#shared/reader/known-events.ts'
import type { CancelMessage, ExecuteMessage, ResumeMessage } from '../../contract/socket-messages.js'
import { BODY_COST, type MemoryBudget, UNCOUNTED_BODY } from '../../lib/memory/memory-budget.js'
import type { Hold } from '../../lib/memory/memory-share.js'
import { WindowCounter } from '../../lib/window-counter.js'
import { takeMemory, WAITING_MESSAGES } from '../arriving-memory.js'
import { callerKey } from '../client-address.js'
import type { IncomingBytes } from '../incoming-bytes.js'
import type { OpenConnections, Release } from '../open-connections.js'
import { HEAVY_COST, ownTurn } from '../../lib/turns.js'
import { type FollowDeps, FollowedRuns } from './followed-runs.js'
import { Inbox } from './inbox.js'
import { type ClientMessage, costOf, describe, logRefused, read, RUN_MESSAGES, shortText } from './messages.js'
import { CLOSE, endSoon, type Session } from './protocol.js'
import { HIGH_WATER } from './reader.js'

/** How long a new connection has to authenticate, and one whose token has expired to do so again. */
const FIRST_AUTH_MS = 10_000
const NEXT_AUTH_MS = 60_000
/** How long a connection may last. */
const LIFE_MS = 86_400_000
/** How many of the messages that a caller may send may be refused on one connection: one in so many, and at least some. */
const REFUSED_SHARE = 10
const MIN_REFUSED = 32
/** Seconds after which a client that has too many connections tries again. */
const RETRY_SECONDS = 10

/** What a session uses of the service. */
export interface SessionDeps extends FollowDeps {
  readonly config: { readonly bodyLimit: number, readonly rateLimitMax: number, readonly rateLimitWindow: number }
  /** Finds who a token is. Throws `unauthorized`, `forbidden`, `rate_limited`. */
  authenticate (token: string, request: FastifyRequest): Promise<Caller>
  /** Count against the caller's or the address's limits. Throw `rate_limited`. */
  countMessage (request: FastifyRequest): Promise<void>
  countCost (request: FastifyRequest, cost: number): Promise<void>
  readonly incomingBytes: IncomingBytes
  readonly memory: MemoryBudget
  readonly openConnections: OpenConnections
}

/** Finds who a client is. Throws `unauthorized`, `forbidden`, `rate_limited`. */
type FindCaller = () => Promise<Caller>

/**
 * One connection: its caller, and the runs it follows. Until the caller is known it takes `auth` and `ping`, and the first bad
 * message closes it.
 */
export class SocketSession implements Session {
  #caller?: Caller
  /** When the connection is closed unless somebody authenticates. */
  #authDeadline = Date.now() + FIRST_AUTH_MS
  readonly #lifeEnd = Date.now() + LIFE_MS
  readonly #inbox: Inbox
  readonly #runs: FollowedRuns
  readonly #refusals: WindowCounter
  #leave?: Release
  #missedPongs = 0
  /** When the last of the session's own answers has left. */
  #flushed: Promise<void> = Promise.resolve()

  /**
   * @param known what the client knows of events, where a message does not say otherwise.
   * @param enter the client is known, and no longer one of those of its address that wait to be.
   */
  constructor (
    private readonly deps: SessionDeps,
    private readonly socket: WebSocket,
    private readonly request: FastifyRequest,
    known: KnownEvents,
    private readonly enter: Release
  ) {
    const { bodyLimit, rateLimitMax, rateLimitWindow } = deps.config
    const connection = request.raw.socket
    this.#refusals = new WindowCounter(Math.max(MIN_REFUSED, rateLimitMax / REFUSED_SHARE), rateLimitWindow)
    this.#runs = new FollowedRuns(deps, socket, connection, known)
    this.#inbox = new Inbox(socket, bodyLimit, {
      message: (data, isBinary) => this.#receive(data, isBinary),
      overflow: error => {
        this.#refuse(error)
        this.close(CLOSE.tryAgainLater, 'too much is arriving at once')
      },
      tooBig: (bytes, isKnown) => this.close(CLOSE.tooBig, `a message has ${bytes} bytes at the most${isKnown ? '' : ' before a token'}`)
    })
    connection.on('data', piece => this.#inbox.count(piece.length))
    socket.on('pong', () => { this.#missedPongs = 0 })
    socket.on('close', () => this.#end())
  }

  get caller (): Caller | undefined { return this.#caller }

  /** @param find finds the caller by what the URL or the subprotocol has; without it the first message has to have a token. */
  begin (find: FindCaller | undefined): void {
    if (find === undefined) return
    this.#inbox.expectToken()
    this.#inbox.enqueue(() => this.#authenticate(find))
  }

  tick (now: number): void {
    if (this.#lifeEnd <= now) {
      this.close(CLOSE.restart, 'a connection lasts a day: connect again')
    } else if (this.#authDeadline <= now) {
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
    if (this.socket.readyState !== this.socket.OPEN) return
    this.#runs.cutOff()
    this.#inbox.stop()
    this.socket.close(code, reason)
    endSoon(this.socket)
  }

  /** Takes the memory that the message needs until it is handled. One for which there is none is refused unread. */
  async #receive (data: Buffer, isBinary: boolean): Promise<void> {
    if (this.socket.readyState !== this.socket.OPEN) return
    if (data.length <= UNCOUNTED_BODY) return this.#receiveHeld(data, isBinary)
    let hold: Hold | undefined
    try {
      hold = await takeMemory(this.deps.memory.arriving, callerKey(this.request), data.length * BODY_COST, this.socket, WAITING_MESSAGES)
      await this.#receiveHeld(data, isBinary)
    } catch (error) {
      this.#refuse(error)
    } finally {
      hold?.release()
    }
  }

  async #receiveHeld (data: Buffer, isBinary: boolean): Promise<void> {
    if (this.socket.readyState !== this.socket.OPEN) return
    let message: ClientMessage | undefined
    try {
      await this.deps.countMessage(this.request)
      const cost = await costOf(data, isBinary)
      await this.deps.countCost(this.request, cost)
      if (cost > HEAVY_COST) await ownTurn()
      message = read(data)
      await this.#handle(message)
    } catch (error) {
      this.#refuse(error, message ?? describe(data))
    }
    // The next message of a client that does not read the answers to those before waits.
    if (this.socket.bufferedAmount >= HIGH_WATER) await this.#flushed
  }

  async #handle (message: ClientMessage): Promise<void> {
    if (message.type === 'auth') {
      const { token } = message as unknown as { token: string }
      return this.#authenticate(() => this.deps.authenticate(token, this.request))
    }
    if (message.type === 'ping') return this.#send({ type: 'pong', timestamp: new Date().toISOString() })
    if (!this.#caller || this.#caller.expiresAt <= Date.now()) {
      throw errors.unauthorized('Authenticate first: {"type":"auth","token":"…"}.')
    }
    if (message.type === 'resume') return this.#runs.resume(this.#caller, message as ResumeMessage)
    if (message.type === 'cancel') return this.#runs.cancel(this.#caller, message as CancelMessage)
    return this.#execute(this.#caller, message as ExecuteMessage)
  }

  async #authenticate (find: FindCaller): Promise<void> {
    try {
      const caller = await find()
      if (this.#caller && !isSameCaller(this.#caller, caller)) {
        throw errors.unauthorized('The token is another user\'s, key\'s or visitor\'s than this connection.')
      }
      if (!this.#takePlace(caller)) return
      this.#authDeadline = Infinity
      this.#send({ type: 'connected', message: 'Connected to jeesi-railway-backend.', userId: caller.userId })
    } catch (error) {
      const failure = toServiceError(error)
      if (failure.statusCode !== 401 && failure.statusCode !== 403) return this.#refuse(failure)
      logRefused(this.request, failure)
      this.close(CLOSE.policy, failure.message)
    }
  }

  /** The connection becomes one of its user's. Returns false if that is refused. */
  #takePlace (caller: Caller): boolean {
    if (this.socket.readyState !== this.socket.OPEN) return false
    this.request.caller = caller
    this.#leave ??= this.deps.openConnections.take(callerKey(this.request))
    if (!this.#leave) {
      this.#refuse(errors.tooManyConnections().with({ retryAfter: RETRY_SECONDS }))
      this.close(CLOSE.tryAgainLater, 'too many connections are open')
      return false
    }
    this.#caller = caller
    this.enter()
    this.#inbox.open(this.deps.incomingBytes.begin(callerKey(this.request)))
    return true
  }

  async #execute (caller: Caller, message: ExecuteMessage): Promise<void> {
    const runId = await this.#runs.execute(caller, message, this.request)
    this.request.log.info({ runId, agentId: message.agentId, userId: caller.userId }, '[AGENT-EXECUTE] WebSocket agent_execute')
  }

  /** Refuses a message. The connection stays open, unless it is bad and the client unknown, or one of very many. */
  #refuse (error: unknown, message: ClientMessage | null = null): void {
    const failure = toServiceError(error)
    if (failure.statusCode === 500) this.request.log.error({ err: error }, 'unexpected error')
    const { code, message: sentence, retryAfter, details } = failure
    const isOfRun = message && RUN_MESSAGES.has(message.type) && !details
    const type = isOfRun ? 'agent_execution_error' : 'error'
    const { requestId, runId } = message ?? {}
    if (isOfRun || failure.statusCode === 400 || failure.statusCode === 401) logRefused(this.request, failure, shortText(message?.type))
    this.#send({ type, error: sentence, code, retryAfter, details, requestId: shortText(requestId), runId: shortText(runId) })
    if (!this.#caller && isBad(failure)) this.close(CLOSE.policy, 'before a token only auth and ping are taken')
    else if (this.#refusals.take('', 1) > 0) this.close(CLOSE.policy, 'too many messages were refused')
  }

  #send (message: object): void {
    if (this.socket.readyState !== this.socket.OPEN) return
    this.#flushed = new Promise(resolve => { this.socket.send(JSON.stringify(message), () => resolve()) })
  }

  #end (): void {
    this.#inbox.stop()
    this.#runs.stop()
    this.enter()
    this.#leave?.()
  }
}

/** Whether the client is to blame, and not a limit or the service. */
function isBad ({ statusCode }: ServiceError): boolean {
  return statusCode < 500 && statusCode !== 429
}

/** A connection goes on with what it follows: of another key, or another visitor, that may be nothing. */
function isSameCaller (first: Caller, next: Caller): boolean {
  return first.userId === next.userId && first.apiKeyId === next.apiKeyId && first.visitor === next.visitor
}
