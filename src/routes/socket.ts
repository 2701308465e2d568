import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import type { Caller } from '../plugins/auth.js'
import { CLOSE, type Session } from '../plugins/websocket.js'
import { errors, toServiceError } from '../errors.js'
import { follow, frameOf, type Entry, type Follower, type Reader } from '../executor/event-log.js'
import { SocketMessages, type CancelMessage, type ExecuteMessage, type ResumeMessage } from '../schemas.js'
import { answersRequest, encodeReconnect, encodeSocket, encodeSocketFor } from '../streams/socket.js'
import { compileMessage, invalid } from '../validation.js'

/** How long a new connection has to say who it is, and one whose token expired to do so again. */
const FIRST_AUTH_MS = 10_000
const NEXT_AUTH_MS = 60_000
/** Messages that wait for those before them; a client that sends more is not read for a while. */
const MAX_PENDING = 32
/** Runs that one connection may follow at a time. */
const MAX_RUNS = 100
/** Bytes that a slow client may leave unread before its runs wait. */
const HIGH_WATER = 256 * 1024

const validators = Object.fromEntries(
  Object.entries(SocketMessages).map(([type, schema]) => [type, compileMessage(schema)]))

const SocketQuery = Type.Object({ token: Type.Optional(Type.String()) })

const socket: FastifyPluginAsyncTypebox = async app => {
  app.get('/ws', { websocket: true, schema: { querystring: SocketQuery } }, (socket, request) => {
    const session = new SocketSession(app, socket, request)
    app.sessions.add(session)
    socket.on('close', () => app.sessions.delete(session))
    session.begin(request.query.token ?? tokenOfProtocols(request))
  })
}

/** `Sec-WebSocket-Protocol: jeesi, bearer.<token>`, since browsers can set no other header. */
function tokenOfProtocols ({ headers }: FastifyRequest): string | undefined {
  const protocols = String(headers['sec-websocket-protocol'] ?? '').split(',').map(protocol => protocol.trim())
  return protocols.find(protocol => protocol.startsWith('bearer.'))?.slice('bearer.'.length)
}

interface ClientMessage { type: string, requestId?: unknown, runId?: unknown }

const RUN_MESSAGES = new Set(['agent_execute', 'resume', 'cancel'])

/** One connection: who is at its other end, and which runs it watches. */
class SocketSession implements Session {
  #caller?: Caller
  /** When the connection is closed unless somebody authenticates. */
  #authDeadline = Date.now() + FIRST_AUTH_MS
  #followers = new Map<string, Follower>()
  #pending = 0
  #order: Promise<void> = Promise.resolve()
  #missedPongs = 0

  constructor (
    private readonly app: FastifyInstance,
    private readonly socket: WebSocket,
    private readonly request: FastifyRequest
  ) {
    socket.on('message', (data, isBinary) => this.#enqueue(() => this.#receive(data, isBinary)))
    socket.on('pong', () => { this.#missedPongs = 0 })
    socket.on('close', () => this.#end())
  }

  /** @param token of the URL or the subprotocol; without one the first message has to bring it. */
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
    this.socket.close(code, reason)
  }

  /** One message after the other, and no more of them in memory than a few. */
  #enqueue (handle: () => Promise<void>): void {
    if (++this.#pending === MAX_PENDING) this.socket.pause()
    this.#order = this.#order.then(handle).finally(() => {
      if (this.#pending-- === MAX_PENDING) this.socket.resume()
    })
  }

  async #receive (data: RawData, isBinary: boolean): Promise<void> {
    if (this.socket.readyState !== this.socket.OPEN) return
    let message: ClientMessage | undefined
    try {
      await this.app.countMessage(this.request)
      message = read(data, isBinary)
      check(message)
      await this.#handle(message)
    } catch (error) {
      this.#refuse(error, message)
    }
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
      const caller = await this.app.authenticate(token)
      if (this.#caller && this.#caller.userId !== caller.userId) {
        throw errors.unauthorized('The token is another user\'s than this connection.')
      }
      this.#caller = this.request.caller = caller
      this.#authDeadline = Infinity
      this.#send({ type: 'connected', message: 'Connected to jeesi-railway-backend.', userId: caller.userId })
    } catch (error) {
      const failure = toServiceError(error)
      if (failure.statusCode !== 401) return this.#refuse(failure)
      await this.app.countFailedAttempt(this.request).catch(() => {})
      this.close(CLOSE.policy, failure.message)
    }
  }

  async #execute (caller: Caller, { agentId, messages, idempotencyKey, requestId }: ExecuteMessage): Promise<void> {
    this.#makeSureOfRoom()
    const { runId } = await this.app.runs.begin({ userId: caller.userId, agentId, messages, idempotencyKey })
    this.request.log.info({ runId, agentId, userId: caller.userId }, '[AGENT-EXECUTE] WebSocket agent_execute')
    this.#follow(runId, 0, requestId)
  }

  async #resume (caller: Caller, { runId, after = 0 }: ResumeMessage): Promise<void> {
    this.#makeSureOfRoom()
    await this.app.runs.resume(caller.userId, runId, after)
    this.#follow(runId, after)
  }

  /** The answer is the run's last event, whether this connection follows the run or not. */
  async #cancel (caller: Caller, { runId }: CancelMessage): Promise<void> {
    const isFollowed = this.#followers.has(runId)
    await this.app.runs.cancel(caller.userId, runId)
    if (isFollowed) return
    await this.app.runs.resume(caller.userId, runId, 0)
    this.#follow(runId, (this.app.events.last(runId) ?? 1) - 1)
  }

  #makeSureOfRoom (): void {
    if (this.#followers.size >= MAX_RUNS) throw errors.badRequest(`One connection follows ${MAX_RUNS} runs at the most.`)
  }

  #follow (runId: string, after: number, requestId?: string): void {
    this.#followers.get(runId)?.stop()
    const reader = new SocketReader(this.socket, runId, requestId, {
      drained: () => { for (const follower of [...this.#followers.values()]) follower.resume() },
      ended: () => { this.#followers.delete(runId) }
    })
    const follower = follow(this.app.events, runId, after, reader)
    if (!reader.isAtEnd) this.#followers.set(runId, follower)
  }

  /** What was asked cannot be done; the connection stays. */
  #refuse (error: unknown, message?: ClientMessage): void {
    const failure = toServiceError(error)
    if (failure.statusCode === 500) this.request.log.error({ err: error }, 'unexpected error')
    const { code, message: sentence, details } = failure
    const isOfRun = message && RUN_MESSAGES.has(message.type) && !details
    const type = isOfRun ? 'agent_execution_error' : 'error'
    const { requestId, runId } = message ?? {}
    this.#send({ type, error: sentence, code, details, requestId: textOrNothing(requestId), runId: textOrNothing(runId) })
  }

  #send (message: object): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(JSON.stringify(message))
  }

  #end (): void {
    for (const follower of this.#followers.values()) follower.stop()
    this.#followers.clear()
  }
}

interface ReaderEvents { drained (): void, ended (): void }

/** One run on its way to one socket. */
class SocketReader implements Reader {
  isAtEnd = false
  readonly #encodeAnswer?: ReturnType<typeof encodeSocketFor>

  constructor (
    private readonly socket: WebSocket,
    private readonly runId: string,
    requestId: string | undefined,
    private readonly on: ReaderEvents
  ) {
    if (requestId !== undefined) this.#encodeAnswer = encodeSocketFor(requestId)
  }

  write (entry: Entry): boolean {
    const frame = this.#encodeAnswer && answersRequest(entry.event)
      ? this.#encodeAnswer(entry.seq, entry.event, this.runId)
      : frameOf(entry, encodeSocket, this.runId)
    const hasRoom = this.socket.bufferedAmount + frame.length < HIGH_WATER
    this.socket.send(frame, { binary: false }, hasRoom ? undefined : error => { if (!error) this.on.drained() })
    return hasRoom
  }

  end (): void {
    this.isAtEnd = true
    this.on.ended()
  }

  lost (after: number): void {
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(encodeReconnect(this.runId, after))
    this.end()
  }
}

function read (data: RawData, isBinary: boolean): ClientMessage {
  if (isBinary) throw errors.badRequest('Messages are JSON in text frames.')
  try {
    return JSON.parse(data.toString())
  } catch {
    throw errors.invalidJson('message')
  }
}

function textOrNothing (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function check (message: ClientMessage | null): void {
  const type = message?.type
  const validate = typeof type === 'string' && Object.hasOwn(validators, type) ? validators[type] : undefined
  if (!validate) throw errors.badRequest(`The message's type must be one of ${Object.keys(validators).join(', ')}.`)
  if (!validate(message)) throw invalid(validate.errors!, 'message')
}

export default socket
