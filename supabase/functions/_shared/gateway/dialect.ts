/** The body of `POST /chat/completions`, as far as this service writes it. */
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

/** What models refuse of the common protocol, by the parameter they name in their refusal. */
const ADAPTATIONS: Record<string, Adaptation> = {
  // OpenAI's reasoning models
  max_tokens: ({ max_tokens, ...body }) => ({ ...body, max_completion_tokens: max_tokens }),
  temperature: ({ temperature, ...body }) => body,
  // older vLLM and llama.cpp servers
  stream_options: ({ stream_options, ...body }) => body
}

const UNSUPPORTED = /unsupported|not support|not permitted|not allowed|not accept|unknown|unrecognized|unexpected|extra|deprecated/i

/** A refusal of a schema, be it a tool's or the answer's. */
const OF_SCHEMA = /schema|function|tool|response_format|propert/i

/**
 * The small differences between OpenAI-compatible gateways and their models: a model that refuses a parameter is
 * asked again without it, and from then on at once in its own way.
 */
export class Dialects {
  #learned = new Map<string, Set<string>>()

  /** The request in the words its model is known to take. */
  speak (body: ChatRequest): ChatRequest {
    return [...this.#learned.get(body.model) ?? []].reduce((spoken, name) => ADAPTATIONS[name]!(spoken), body)
  }

  /** Whether a refusal (400 or 422, with its sentence) taught something, so that asking again makes sense. */
  learn (body: ChatRequest, refusal: string): boolean {
    // A value out of its range is the request's fault, and no trait of the model.
    if (!UNSUPPORTED.test(refusal)) return false
    const name = Object.keys(ADAPTATIONS).find(parameter =>
      parameter in body && new RegExp(`\\b${parameter}\\b`).test(refusal) && !isOfSchema(parameter, body, refusal))
    if (!name) return false
    const known = this.#learned.get(body.model) ?? new Set()
    this.#learned.set(body.model, known.add(name))
    return true
  }
}

/** Whether a refusal may speak of what the request itself calls so: the agent's own words are no parameter of the protocol. */
function isOfSchema (name: string, { tools = [], response_format }: ChatRequest, refusal: string): boolean {
  if (!OF_SCHEMA.test(refusal)) return false
  const names: string[] = []
  JSON.stringify([tools, response_format], (key, value: unknown) => {
    names.push(key)
    if (key === 'name' && typeof value === 'string') names.push(value)
    return value
  })
  return names.some(own => new RegExp(`\\b${name}\\b`).test(own))
}
