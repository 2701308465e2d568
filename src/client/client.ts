import type { NumberedEvent, Run, RunOptions } from './client-types.js'
import type { Connect, Position } from './connection.js'
import { connectionFailed, errorOf, JeesiError } from './errors.js'
import { connectSse } from './sse.js'
import { connectSocket } from './websocket.js'

export type * from './client-types.js'
export { JeesiError } from './errors.js'
export { RunText } from './run-text.js'

const PATIENCE_MS = 300_000
/** How long an aborted run is waited for. */
const CANCEL_PATIENCE_MS = 15_000
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

  constructor (options: RunOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, '') }
    const [runId, after = 0] = 'runId' in options ? [options.runId, options.after] : []
    this.#position = { runId, after, idempotencyKey: ('agentId' in options && options.idempotencyKey) || crypto.randomUUID() }
  }

  get runId (): string | undefined { return this.#position.runId }
  get after (): number { return this.#position.after }

  async cancel (): Promise<void> {
    if (this.runId === undefined) return
    const { url, fetch: send = fetch } = this.#options
    const headers = { authorization: `Bearer ${await this.#token()}` }
    const response = await send(`${url}/api/runs/${this.runId}/cancel`, { method: 'POST', headers }).catch(error => { throw connectionFailed(error) })
    if (!response.ok) throw await errorOf(response)
    await response.body?.cancel()
  }

  [Symbol.asyncIterator] (): AsyncGenerator<NumberedEvent, void, void> { return this.#events() }

  async * #events (): AsyncGenerator<NumberedEvent, void, void> {
    const { signal, transport, patience = PATIENCE_MS } = this.#options
    const connect: Connect = transport === 'websocket' ? connectSocket : connectSse
    signal?.throwIfAborted()
    const cancel = () => this.#cancelIfAborted()
    signal?.addEventListener('abort', cancel)
    try {
      for (let failures = 0, since = Date.now(); ;) {
        // It has ended, and the run has not.
        let failure = connectionFailed()
        try {
          for await (const event of connect(this.#options, this.#position, () => this.#token())) {
            cancel()
            if (event.type === 'reconnect') break
            if (event.seq <= this.after) continue
            ;[failures, since, this.#position.after, this.#wasRefused] = [0, Date.now(), event.seq, false]
            yield event
            if (event.type === 'done' || event.type === 'error' || event.type === 'cancelled') return
          }
        } catch (error) {
          failure = this.#mayRepeat(error)
        }
        if (signal?.aborted && this.runId === undefined) throw signal.reason
        const waited = Date.now() - since + (failure.retryAfter ?? 0) * 1000
        if (waited >= (signal?.aborted ? CANCEL_PATIENCE_MS : patience)) throw failure
        await pause(failure, failures++, signal)
        cancel()
      }
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  #cancelIfAborted (): void {
    if (!this.#options.signal?.aborted || this.#isCancelling || this.runId === undefined) return
    this.#isCancelling = true
    this.cancel().catch(() => { this.#isCancelling = false })
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
async function pause ({ status, retryAfter = 0 }: JeesiError, failures: number, signal: AbortSignal | undefined): Promise<void> {
  if (status === 401) return
  const ms = Math.max(Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2), retryAfter * 1000)
  await new Promise<void>(resolve => {
    const timer = setTimeout(end, signal?.aborted ? FIRST_PAUSE_MS : ms)
    signal?.addEventListener('abort', end)
    function end () {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
  })
}
