import { setTimeout as delay } from 'node:timers/promises'
import { ALL_EVENTS, parseStream, textOf } from '../support/helper.js'
import { expected, type Stamp, stampsOf, withoutStamps } from './model.js'

export const AGENT = '22222222-2222-4222-8222-222222222222'
/** A run that takes longer counts as lost. On a busy machine a process alone may need half a minute to start again. */
const RUN_TIMEOUT_MS = 150_000
/** A longer silence counts as an interruption, even if the connection stays open. */
const SILENCE_MS = 1_000

/** A server that a reader may connect to. */
export interface Address { url: string, replica: number }

export interface ReaderOptions {
  name: string
  token: string
  addresses: () => Address[]
  random: () => number
  /** Receives each piece that was sent while the reader was connected, and the replica that delivered it. */
  onPiece?: (stamp: Stamp, replica: number) => void
}

export interface Outcome {
  problem?: string
  disconnects: number
  /** When a connection broke or became silent, and when the run's next event arrived. */
  cuts: Array<{ brokenAt: number, nextAt: number }>
}

type Event = ReturnType<typeof parseStream>[number]

/** Starts a run and reads it to its end across replicas, as a client with a bad connection would. */
export async function runReader (options: ReaderOptions): Promise<Outcome> {
  const reader = new ChaosReader(options)
  try {
    await reader.read()
    return { ...reader.outcome, problem: reader.findProblem() }
  } catch (error) {
    return { ...reader.outcome, problem: `${options.name}: ${(error as Error).message}` }
  }
}

class ChaosReader {
  readonly outcome: Outcome = { disconnects: 0, cuts: [] }
  #events: Event[] = []
  #runId?: string
  #ended = false
  /** When the connection broke; undefined while events arrive. */
  #brokenAt?: number
  #lastAt?: number
  #connection = { replica: 0, since: 0 }
  readonly #deadline = Date.now() + RUN_TIMEOUT_MS
  readonly #cancels: boolean

  constructor (private readonly options: ReaderOptions) {
    this.#cancels = options.random() < 0.1
  }

  async read (): Promise<void> {
    while (!this.#ended) {
      if (Date.now() > this.#deadline) throw new Error(`not ended after ${RUN_TIMEOUT_MS} ms, run ${this.#runId}, last event ${JSON.stringify(this.#events.at(-1))}`)
      try {
        await this.#connect()
      } catch {
        this.#brokenAt ??= Date.now()
        this.outcome.disconnects++
        await delay(50)
      }
    }
  }

  findProblem (): string | undefined {
    const { name } = this.options
    const seqs = this.#events.map(({ seq }) => seq)
    if (seqs.some((seq, index) => index > 0 && seq <= seqs[index - 1]!)) return `${name}: seq does not rise: ${seqs}`
    const last = this.#events.at(-1)
    const whole = expected(name).join('')
    const said = textOf(this.#events)
    const text = withoutStamps(said)
    if (last?.type === 'done') {
      if (text !== whole) return `${name}: run ${this.#runId}: read ${text.length} of ${whole.length} characters`
      return last.response === said ? undefined : `${name}: done says another text`
    }
    if (last?.type === 'cancelled') return this.#cancels && whole.startsWith(text) ? undefined : `${name}: cancelled, text ${text.length}`
    return `${name}: ended by ${JSON.stringify(last)}`
  }

  async #connect (): Promise<void> {
    const addresses = this.options.addresses()
    const { url, replica } = addresses[Math.floor(this.options.random() * addresses.length)]!
    const leaves = new AbortController()
    const response = await this.#request(url, AbortSignal.any([leaves.signal, AbortSignal.timeout(20_000)]))
    if (!response.ok) throw new Error(`status ${response.status}`)
    this.#connection = { replica, since: Date.now() }
    this.#runId ??= response.headers.get('x-run-id')!
    if (this.options.random() < 0.3) setTimeout(() => leaves.abort(), 1000 * this.options.random())
    if (this.#cancels && this.options.random() < 0.5) this.#cancel(url)
    await this.#take(response)
  }

  /** The first request has an idempotency key, so that a repetition joins the run that it began. */
  #request (url: string, signal: AbortSignal): Promise<Response> {
    const authorization = `Bearer ${this.options.token}`
    if (this.#runId) {
      return fetch(`${url}/api/runs/${this.#runId}/events`, {
        headers: { authorization, 'last-event-id': String(this.#events.at(-1)?.seq ?? 0) }, signal
      })
    }
    return fetch(`${url}/api/agent/execute`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json', 'idempotency-key': this.options.name, ...ALL_EVENTS },
      body: JSON.stringify({ agentId: AGENT, messages: [{ role: 'user', content: this.options.name }] }),
      signal
    })
  }

  #cancel (url: string): void {
    fetch(`${url}/api/runs/${this.#runId}/cancel`, {
      method: 'POST', headers: { authorization: `Bearer ${this.options.token}` }
    }).catch(() => {})
  }

  /** Reads complete frames; the rest of a broken connection is discarded. */
  async #take (response: Response): Promise<void> {
    let rest = ''
    for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
      rest += text
      const end = rest.lastIndexOf('\n\n') + 2
      if (end === 1) continue
      const whole = rest.slice(0, end)
      rest = rest.slice(end)
      this.#accept(parseStream(whole))
      if (whole.includes('data: [DONE]')) {
        this.#ended = true
        return
      }
    }
    throw new Error('the stream ended')
  }

  #accept (events: Event[]): void {
    const numbered = events.filter(({ seq }) => !Number.isNaN(seq))
    if (numbered.length === 0) return
    const now = Date.now()
    const isSilent = this.#lastAt !== undefined && now - this.#lastAt > SILENCE_MS
    const brokenAt = this.#brokenAt ?? (isSilent ? this.#lastAt : undefined)
    // A run that waits for a slot is silent for a good reason.
    const waits = (this.#events.at(-1)?.type ?? 'queued') === 'queued'
    if (brokenAt !== undefined && !waits) this.outcome.cuts.push({ brokenAt, nextAt: now })
    this.#brokenAt = undefined
    this.#lastAt = now
    this.#events.push(...numbered)
    this.#notePieces(numbered)
  }

  #notePieces (events: Event[]): void {
    const { replica, since } = this.#connection
    for (const event of events) {
      if (event.type !== 'chunk') continue
      for (const stamp of stampsOf(event.content)) if (stamp.sentAt > since) this.options.onPiece?.(stamp, replica)
    }
  }
}
