import type { Message, ResponseFormat } from '../http/body.ts'
import { EdgeError, errors } from '../errors.ts'
import { AnswerReader, errorOfStatus, errorText, parseRetryAfter, type Completion, type ModelSink } from './answer-reader.ts'
import { readData } from '../streams/sse.ts'

export interface ModelRequest {
  model: string
  messages: Message[]
  temperature: number
  maxTokens: number
  responseFormat?: ResponseFormat
}

type ChatRequest = Record<string, unknown>

/** What models refuse of the common protocol, by the parameter they name in their refusal. */
const ADAPTATIONS: Record<string, (body: ChatRequest) => ChatRequest> = {
  max_tokens: ({ max_tokens, ...body }) => ({ ...body, max_completion_tokens: max_tokens }),
  temperature: ({ temperature, ...body }) => body,
  stream_options: ({ stream_options, ...body }) => body
}
const UNSUPPORTED = /unsupported|not support|not permitted|not allowed|not accept|unknown|unrecognized|unexpected|extra|deprecated/i

/**
 * One streamed chat completion of an OpenAI-compatible gateway.
 * @throws {EdgeError} `gateway_…`; the signal's reason, when it is aborted.
 */
export async function complete (
  gateway: { url: string, key?: string }, request: ModelRequest, sink: ModelSink, signal: AbortSignal
): Promise<Completion> {
  let body = toBody(request)
  for (;;) {
    const response = await ask(gateway, body, signal)
    if (response.status === 200) return await read(response, request.model, sink, signal)
    const text = errorText(await response.text().catch(() => ''))
    const adapted = [400, 422].includes(response.status) ? adapt(body, text) : undefined
    if (!adapted) throw errorOfStatus(response.status, text, parseRetryAfter(response.headers.get('retry-after')))
    body = adapted
  }
}

function toBody ({ model, messages, temperature, maxTokens, responseFormat }: ModelRequest): ChatRequest {
  const body = { model, messages, stream: true, stream_options: { include_usage: true }, temperature, max_tokens: maxTokens }
  return responseFormat ? { ...body, response_format: responseFormat } : body
}

/** The request without what its model does not take; each parameter goes once, so this ends. */
function adapt (body: ChatRequest, refusal: string): ChatRequest | undefined {
  if (!UNSUPPORTED.test(refusal)) return undefined
  const name = Object.keys(ADAPTATIONS).find(parameter => parameter in body && new RegExp(`\\b${parameter}\\b`).test(refusal))
  return name ? ADAPTATIONS[name](body) : undefined
}

async function ask ({ url, key }: { url: string, key?: string }, body: ChatRequest, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(`${url}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...(key ? { authorization: `Bearer ${key}` } : {}) },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal
    })
  } catch (cause) {
    signal.throwIfAborted()
    throw errors.gatewayUnavailable().with({ cause })
  }
}

async function read (response: Response, model: string, sink: ModelSink, signal: AbortSignal): Promise<Completion> {
  const reader = new AnswerReader(model, sink)
  try {
    if (response.headers.get('content-type')?.includes('application/json')) reader.take([JSON.stringify(await response.json())])
    else for await (const data of readData(response.body!)) reader.take(data)
  } catch (cause) {
    signal.throwIfAborted()
    // Where the answer was whole only the usage may have been lost.
    if (!reader.sawEnd || cause instanceof EdgeError) throw cause instanceof EdgeError ? cause : errors.gatewayUnavailable().with({ cause })
  }
  reader.flush({ last: true })
  if (!reader.sawEnd) throw errors.gatewayUnavailable()
  return reader.completion
}
