import { DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE } from './defaults.ts'
import type { Refusal } from './refusals.ts'

/** The fields of the body of `POST /chat/completions` that are used here. */
export interface ChatRequest {
  model: string
  messages: unknown[]
  stream: true
  stream_options?: { include_usage: true }
  temperature?: number
  max_tokens?: number
  max_completion_tokens?: number
  tools?: unknown[]
  tool_choice?: 'none'
  response_format?: unknown
}

type Adaptation = (body: ChatRequest) => ChatRequest

/** The role of messages that is no parameter, and is refused like one. */
const DEVELOPER = 'developer'

/** Parameters of the common protocol that some models reject, by name. */
const ADAPTATIONS: Record<string, Adaptation> = {
  // OpenAI's reasoning models
  max_tokens: ({ max_tokens, ...body }) => ({ ...body, max_completion_tokens: max_tokens }),
  temperature: ({ temperature, ...body }) => body,
  // older vLLM and llama.cpp servers
  stream_options: ({ stream_options, ...body }) => body,
  // all but OpenAI's own; to these a system message says the same
  [DEVELOPER]: ({ messages, ...body }) => ({ ...body, messages: messages.map(message => isOfDeveloper(message) ? { ...message, role: 'system' } : message) })
}

const UNSUPPORTED = /unsupported|not support|not permitted|not allowed|not accept|unknown|unrecognized|unexpected|extra|deprecated/i

/** Codes of refusals that mean the parameter, whatever its value. */
const OF_PARAMETER = /^(unsupported_parameter|unknown_parameter|extra_forbidden|unknown_field)$/

/** Words of a refusal of a schema: of a tool or of the answer. */
const OF_SCHEMA = /schema|function|tool|response_format|propert/i

/** Milliseconds for which a refusal teaches; then the model is asked in the common protocol again. */
const TAUGHT_MS = 60 * 60_000
/** Authors of agents choose models' names, so there may be any number. */
const MAX_MODELS = 1_000

/**
 * The small differences between OpenAI-compatible gateways and their models. A model that rejects a parameter is asked
 * again without it. Others' requests to the same model are adapted from the start only if the gateway names the parameter
 * in the `param` of its refusal, and its value is the service's own: what users write must not decide what others ask.
 */
export class Dialects {
  /** When what was learned is forgotten, by parameter, by model; the model that was learned of last comes last. */
  #learned = new Map<string, Map<string, number>>()

  /** @param now milliseconds of a clock. */
  constructor (private readonly now: () => number = Date.now) {}

  /** The request, adapted by what is known of its model and by the names that its own run was refused. */
  speak (body: ChatRequest, refused: Iterable<string> = []): ChatRequest {
    const names = new Set([...this.#known(body.model), ...refused])
    return [...names].reduce((spoken, name) => ADAPTATIONS[name]!(spoken), body)
  }

  /** Learns from a refusal (400 or 422). Returns the parameter that the repeated request is to be adapted in; undefined if there is none. */
  learn (body: ChatRequest, refusal: Refusal): string | undefined {
    if (isOfRole(body, refusal)) return DEVELOPER
    const { param } = refusal
    const name = param === undefined ? namedIn(refusal.text, body) : adaptable(param, body)
    if (name === undefined || !isUnsupported(refusal)) return undefined
    if (param !== undefined && isOwn(name, body, refusal)) this.#teach(body.model, name)
    return name
  }

  #known (model: string): string[] {
    const now = this.now()
    return [...this.#learned.get(model) ?? []].flatMap(([name, until]) => until > now ? [name] : [])
  }

  #teach (model: string, name: string): void {
    const known = this.#learned.get(model) ?? new Map<string, number>()
    this.#learned.delete(model)
    this.#learned.set(model, known.set(name, this.now() + TAUGHT_MS))
    const [oldest] = this.#learned.keys()
    if (this.#learned.size > MAX_MODELS) this.#learned.delete(oldest!)
  }
}

/** Whether a refusal may mean the role of a developer's message. It teaches nothing of others' requests. */
function isOfRole ({ messages }: ChatRequest, { text, param = '' }: Refusal): boolean {
  return messages.some(isOfDeveloper) && (/\b(developer|roles?)\b/i.test(text) || /\brole$/.test(param))
}

function isOfDeveloper (message: unknown): message is { role: string } {
  return (message as { role?: unknown } | null)?.role === DEVELOPER
}

function adaptable (name: string, body: ChatRequest): string | undefined {
  return Object.hasOwn(ADAPTATIONS, name) && name in body ? name : undefined
}

/** The parameter that a refusal names in its sentence alone, where users' words may stand too. */
function namedIn (text: string, body: ChatRequest): string | undefined {
  return Object.keys(ADAPTATIONS).find(name =>
    name in body && new RegExp(`\\b${name}\\b`).test(text) && !isOfSchema(name, body, text))
}

/** A value out of range is a fault of the request and says nothing about the model. */
function isUnsupported ({ code = '', text }: Refusal): boolean {
  return OF_PARAMETER.test(code) || UNSUPPORTED.test(text)
}

/** Whether a refusal of a parameter concerns requests in which an author has chosen nothing. */
function isOwn (name: string, { temperature, max_tokens: maxTokens }: ChatRequest, { code = '' }: Refusal): boolean {
  if (OF_PARAMETER.test(code) || name === 'stream_options') return true
  return name === 'temperature' ? temperature === DEFAULT_TEMPERATURE : maxTokens === DEFAULT_MAX_TOKENS
}

/** Whether a refusal may mean a name in the request's own schemas rather than the parameter of the protocol. */
function isOfSchema (name: string, { tools = [], response_format }: ChatRequest, text: string): boolean {
  if (!OF_SCHEMA.test(text)) return false
  const names: string[] = []
  JSON.stringify([tools, response_format], (key, value: unknown) => {
    names.push(key)
    if (key === 'name' && typeof value === 'string') names.push(value)
    return value
  })
  return names.some(own => new RegExp(`\\b${name}\\b`).test(own))
}
