import { errors, type ServiceError } from '#shared/errors.ts'
import { otherBases } from '#shared/gateway/base-url.ts'
import { causeCodeOf } from '#shared/gateway/cause-code.ts'
import type { ModelsAnswer, ModelsClient } from './models.js'

/** `refused`: it does not accept the key. */
export type GatewayState = 'up' | 'refused' | 'down'

/** What operators are told when it changes. */
export interface GatewayNews { state: GatewayState, message: string, status?: number, cause?: string }

/** In milliseconds. */
const PATIENCE = 3_000
/** How long a state is taken for true, so that not every probe asks the gateway. */
const FRESH_MS = 10_000
/** How long what a completion has shown of the key counts. */
const KEY_MS = 60_000
/** A base URL that is none answers so, or with a page for people. */
const NO_MODELS = new Set([404, 405])

/**
 * Whether the gateway can be asked, by `GET /models` and by how completions end. Some gateways list their models to anybody,
 * and others to no key that may only complete, so a completion is the better witness.
 */
export class GatewayHealth {
  #last: GatewayState | undefined
  #told: GatewayState = 'up'
  #askedAt = -Infinity
  #asking: Promise<GatewayState> | undefined
  #acceptedAt = -Infinity
  #refusedAt = -Infinity
  /** What the last completion has shown. */
  #shown: { state: GatewayState, at: number } | undefined
  #isBaseSought = false
  #isBaseTold = false
  #lacksModels = false
  #close = new AbortController()

  /** @param tell takes each change, and once where the gateway probably is. */
  constructor (private readonly models: ModelsClient, private readonly url: string, private readonly tell: (news: GatewayNews) => void) {}

  /** The last state, as it was asked for or a completion has shown it, without asking; `down` if there was neither. */
  get last (): GatewayState { return this.#shown && this.#shown.at > this.#askedAt ? this.#shown.state : this.#last ?? 'down' }

  /** The state, asked for within 3 s unless it was asked for within the last 10. */
  current (): Promise<GatewayState> {
    if (this.#last && performance.now() - this.#askedAt < FRESH_MS) return Promise.resolve(this.#judge(this.#last))
    this.#asking ??= this.#ask().finally(() => { this.#asking = undefined })
    return this.#asking
  }

  /** A completion has come to its end. */
  noteCompleted (): void {
    this.#acceptedAt = performance.now()
    this.#shown = { state: 'up', at: this.#acceptedAt }
  }

  /** A completion has failed, with an HTTP status if there was one. */
  noteFailed ({ gatewayStatus, code }: Pick<ServiceError, 'gatewayStatus' | 'code'>): void {
    const at = performance.now()
    if (gatewayStatus === 401) this.#refusedAt = at
    if (gatewayStatus !== undefined) this.#shown = { state: gatewayStatus === 401 ? 'refused' : 'up', at }
    else if (code === errors.gatewayUnavailable.code) this.#shown = { state: 'down', at }
    if (gatewayStatus !== undefined && NO_MODELS.has(gatewayStatus)) this.#adviseBase().catch(() => {})
  }

  close (): void {
    this.#close.abort(errors.shuttingDown())
  }

  async #ask (): Promise<GatewayState> {
    const signal = AbortSignal.any([this.#close.signal, AbortSignal.timeout(PATIENCE)])
    try {
      const answer = await this.models.ask(signal)
      this.#update(this.#judge(stateOf(answer)), answer.status)
      this.#lacksModels = NO_MODELS.has(answer.status) || (answer.status === 200 && !answer.ids)
    } catch (error) {
      this.#lacksModels = false
      this.#update('down', undefined, error)
    }
    if (this.#lacksModels) this.#seekBase('GET /models').catch(() => {})
    return this.#last!
  }

  #judge (state: GatewayState): GatewayState {
    const now = performance.now()
    const wasAccepted = this.#acceptedAt > this.#refusedAt && now - this.#acceptedAt < KEY_MS
    const wasRefused = this.#refusedAt > this.#acceptedAt && now - this.#refusedAt < KEY_MS
    if (state === 'down') return 'down'
    return wasRefused || (state === 'refused' && !wasAccepted) ? 'refused' : 'up'
  }

  #update (state: GatewayState, status?: number, error?: unknown): void {
    this.#last = state
    this.#askedAt = performance.now()
    if (state === this.#told || this.#close.signal.aborted) return
    this.#told = state
    this.tell({ state, status, ...describe(state, status, error) })
  }

  /** A completion had no address: if models have none either, it is the base that is wrong. */
  async #adviseBase (): Promise<void> {
    await this.current()
    if (this.#lacksModels) await this.#seekBase('GET /models and POST /chat/completions', true)
  }

  /** @param isCertain says so even if no other address is found: a gateway need not list its models. */
  async #seekBase (what: string, isCertain = false): Promise<void> {
    if (this.#isBaseTold || (this.#isBaseSought && !isCertain)) return
    this.#isBaseSought = true
    const found = await this.models.findBase(AbortSignal.any([this.#close.signal, AbortSignal.timeout(PATIENCE)]))
    if (this.#isBaseTold || (!found && !isCertain) || this.#close.signal.aborted) return
    this.#isBaseTold = true
    const likely = found ?? (otherBases(this.url)[0] ?? 'another')
    this.tell({ state: this.last, message: `the AI gateway has nothing at ${this.url} (${what}): AI_GATEWAY_URL is probably to be ${likely}` })
  }
}

function stateOf ({ status }: ModelsAnswer): GatewayState {
  return status === 401 || status === 403 ? 'refused' : 'up'
}

function describe (state: GatewayState, status: number | undefined, error: unknown): Pick<GatewayNews, 'message' | 'cause'> {
  if (state === 'up') return { message: 'the AI gateway answers' }
  if (state === 'refused') return { message: `the AI gateway refuses the key${status ? ` (${status})` : ''}: see LOVABLE_API_KEY and AI_GATEWAY_URL` }
  const cause = causeCodeOf(error)
  const isSilent = error instanceof Error && error.name === 'TimeoutError'
  return { cause, message: isSilent ? `the AI gateway has not answered within ${PATIENCE / 1000} s` : `the AI gateway cannot be reached${cause ? `: ${cause}` : ''}` }
}
