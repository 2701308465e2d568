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

/** Parameters of the common protocol that some models reject, by the name that the refusal mentions. */
const ADAPTATIONS: Record<string, Adaptation> = {
  // OpenAI's reasoning models
  max_tokens: ({ max_tokens, ...body }) => ({ ...body, max_completion_tokens: max_tokens }),
  temperature: ({ temperature, ...body }) => body,
  // older vLLM and llama.cpp servers
  stream_options: ({ stream_options, ...body }) => body
}

const UNSUPPORTED = /unsupported|not support|not permitted|not allowed|not accept|unknown|unrecognized|unexpected|extra|deprecated/i

/** Words of a refusal of a schema: of a tool or of the answer. */
const OF_SCHEMA = /schema|function|tool|response_format|propert/i

/**
 * The small differences between OpenAI-compatible gateways and their models. A model that rejects a parameter is asked
 * again without it; later requests to the same model are adapted from the start.
 */
export class Dialects {
  #learned = new Map<string, Set<string>>()

  /** The request, adapted by what is known of its model. */
  speak (body: ChatRequest): ChatRequest {
    return [...this.#learned.get(body.model) ?? []].reduce((spoken, name) => ADAPTATIONS[name]!(spoken), body)
  }

  /** Learns from a refusal (400 or 422) by its sentence. Returns whether it found an adaptation, so that another request makes sense. */
  learn (body: ChatRequest, refusal: string): boolean {
    // A value out of range is a fault of the request and says nothing about the model.
    if (!UNSUPPORTED.test(refusal)) return false
    const name = Object.keys(ADAPTATIONS).find(parameter =>
      parameter in body && new RegExp(`\\b${parameter}\\b`).test(refusal) && !isOfSchema(parameter, body, refusal))
    if (!name) return false
    const known = this.#learned.get(body.model) ?? new Set()
    this.#learned.set(body.model, known.add(name))
    return true
  }
}

/** Whether a refusal may mean a name in the request's own schemas rather than the parameter of the protocol. */
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
