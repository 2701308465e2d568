import type { NumberedEvent, Run, RunOptions } from './client-types.js'
import type { Connect, Position } from './connection.js'
import { connectionFailed, errorOf, JeesiError } from './errors.js'
import { connectSse } from './sse.js'
import { connectSocket } from './websocket.js'

export type * from './client-types.js'
export { JeesiError } from './errors.js'
export { RunText } from './run-text.js'

const PATIENCE_MS = 300_000
/** How long an aborted run is waited for, and one request to cancel it. */
const CANCEL_PATIENCE_MS = 15_000
const CANCEL_REQUEST_MS = 5_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000

/**
 * Begins a run and yields its events, or goes on with one. It resumes by itself, without an event lost or told twice, whatever breaks: the
 * connection, a deploy, the platform's limit of 15 minutes, a token that has expired.
 *
 * Its last event is `done`, `error` or `cancelled`.
 * @throws {JeesiError} what the service refuses, or its last failure once `patience` is over.
 * @throws the signal's reason, if it is aborted before a run is known, or the service cannot be told.
 */
export function run (options: RunOptions): Run {
  return new WatchedRun(options)
}

class WatchedRun implements Run {
  readonly #options: RunOptions
  readonly #position: Position
  #wasRefused = false
  #isCancelling = false
  #isOver = false

  constructor (options: RunOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, '') }
    const [runId, after = 0] = 'runId' in options ? [options.runId, options.after] : []
    this.#position = { runId, after, heardAt: 0, idempotencyKey: ('agentId' in options && options.idempotencyKey) || crypto.randomUUID() }
  }

  get runId (): string | undefined { return this.#position.runId }
  get after (): number { return this.#position.after }

  async cancel (): Promise<void> {
    if (this.runId === undefined) return
    const { url, fetch: send = fetch } = this.#options
    const headers = { authorization: `Bearer ${await this.#token()}` }
    const response = await send(`${url}/api/runs/${this.runId}/cancel`, { method: 'POST', headers, signal: AbortSignal.timeout(CANCEL_REQUEST_MS) }).catch(error => { throw connectionFailed(error) })
    if (!response.ok) throw await errorOf(response)
    await response.body?.cancel()
  }

  /** Who leaves a run that says nothing is not kept waiting for its next event. */
  [Symbol.asyncIterator] (): AsyncGenerator<NumberedEvent, void, void> {
    const over = new AbortController()
    const events = this.#events(over)
    const end = events.return.bind(events)
    events.return = value => {
      over.abort()
      return end(value)
    }
    return events
  }

  /** @param over breaks the connection off: the reader has left, or an aborted run does not end in time. */
  async * #events (over: AbortController): AsyncGenerator<NumberedEvent, void, void> {
    const { signal, transport, patience = PATIENCE_MS } = this.#options
    const connect: Connect = transport === 'websocket' ? connectSocket : connectSse
    signal?.throwIfAborted()
    let isLate = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const cancel = () => {
      if (!signal?.aborted || this.runId === undefined) return
      timer ??= setTimeout(() => {
        isLate = true
        over.abort()
      }, CANCEL_PATIENCE_MS)
      this.#cancelRun()
    }
    signal?.addEventListener('abort', cancel)
    const hasLeft = (): boolean => {
      if (signal?.aborted && (isLate || this.runId === undefined)) throw signal.reason
      return over.signal.aborted
    }
    try {
      for (let failures = 0, since = Date.now(); ;) {
        // It has ended, and the run has not.
        let failure = connectionFailed()
        const openedAt = this.#position.heardAt = Date.now()
        try {
          for await (const event of connect(this.#options, this.#position, () => this.#token(), over.signal)) {
            cancel()
            if (event.type === 'reconnect') break
            if (event.seq <= this.after) continue
            ;[failures, this.#position.after, this.#wasRefused] = [0, event.seq, false]
            yield event
            if (event.type === 'done' || event.type === 'error' || event.type === 'cancelled') return
          }
        } catch (error) {
          failure = this.#mayRepeat(error)
        }
        if (hasLeft()) return
        // A run may be quiet for long: what counts is for how long the service has not been there.
        if (this.#position.heardAt - openedAt > LONGEST_PAUSE_MS) failures = 0
        if (failures === 0) since = Date.now()
        const waited = Date.now() - since + (failure.retryAfter ?? 0) * 1000
        if (waited >= (signal?.aborted ? CANCEL_PATIENCE_MS : patience)) throw failure
        await pause(failure, failures++, signal, over.signal)
        if (hasLeft()) return
        cancel()
      }
    } finally {
      signal?.removeEventListener('abort', cancel)
      clearTimeout(timer)
      this.#isOver = true
    }
  }

  /** Asks for it again until it was taken: a run that is quiet has no event that would remind of it. */
  async #cancelRun (): Promise<void> {
    if (this.#isCancelling) return
    this.#isCancelling = true
    while (!this.#isOver && !await this.cancel().then(() => true, () => false)) await new Promise(resolve => setTimeout(resolve, FIRST_PAUSE_MS))
  }

  /** A token may have expired: another is asked for once. @throws what is not repeated. */
  #mayRepeat (error: unknown): JeesiError {
    if (!(error instanceof JeesiError)) throw error
    const isRefused = error.status === 401 && !this.#wasRefused && typeof this.#options.token === 'function'
    if (!isRefused && !error.isTemporary) throw error
    this.#wasRefused = error.status === 401
    return error
  }

  async #token (): Promise<string> {
    const { token } = this.#options
    return typeof token === 'function' ? token() : token
  }
}

/** With chance in it: not all readers of a service that is deployed come back at once. */
async function pause ({ status, retryAfter = 0 }: JeesiError, failures: number, signal: AbortSignal | undefined, over: AbortSignal): Promise<void> {
  if (status === 401) return
  const ms = Math.max(Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2), retryAfter * 1000)
  await new Promise<void>(resolve => {
    const timer = setTimeout(end, signal?.aborted ? FIRST_PAUSE_MS : ms)
    for (const each of [signal, over]) each?.addEventListener('abort', end)
    function end () {
      clearTimeout(timer)
      for (const each of [signal, over]) each?.removeEventListener('abort', end)
      resolve()
    }
  })
}
