import { errors, ServiceError } from '../../_shared/errors.ts'
import { type ChatRequest, Dialects } from '../../_shared/gateway/dialect.ts'
import type { AnswerEnd } from '../../_shared/gateway/frame-reader.ts'
import { hideQuotes } from '../../_shared/gateway/quotes.ts'
import { errorOfStatus, readErrorBody, Refusal } from '../../_shared/gateway/refusals.ts'
import { parseRetryAfter } from '../../_shared/http/retry-after.ts'
import type { Message, ResponseFormat } from '../../_shared/schemas.ts'
import { readData } from '../streams/sse-data.ts'
import { AnswerReader, type ModelSink } from './answer-reader.ts'

export interface Gateway { url: string, key?: string }

export interface ModelRequest {
  model: string
  messages: Message[]
  temperature: number
  maxTokens: number
  responseFormat?: ResponseFormat
}

/**
 * One streamed chat completion of an OpenAI-compatible gateway.
 * @throws {ServiceError} `gateway_…`; the signal's reason, if it is aborted.
 */
export function complete (gateway: Gateway, request: ModelRequest, sink: ModelSink, signal: AbortSignal): Promise<AnswerEnd> {
  return ask(gateway, request, sink, signal).catch(error => { throw hideQuotes(error, request.messages, gateway.key) })
}

async function ask (gateway: Gateway, request: ModelRequest, sink: ModelSink, signal: AbortSignal): Promise<AnswerEnd> {
  const common = toBody(request)
  const dialects = new Dialects()
  const refused = new Set<string>()
  // Each refusal removes or renames one parameter, so this ends.
  for (;;) {
    const body = dialects.speak(common, refused)
    const response = await post(gateway, body, signal)
    if (response.status === 200) return await read(response, request.model, sink, signal)
    const said = readErrorBody(await response.text().catch(() => ''))
    const error = errorOfStatus(response.status, said, parseRetryAfter(response.headers.get('retry-after') ?? ''))
    if (!(error instanceof Refusal)) throw error
    const name = error.mayBeDialect ? dialects.learn(body, error) : undefined
    if (name === undefined) throw error.toServiceError()
    refused.add(name)
  }
}

function toBody ({ model, messages, temperature, maxTokens, responseFormat }: ModelRequest): ChatRequest {
  return {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    temperature,
    max_tokens: maxTokens,
    response_format: responseFormat
  }
}

async function post ({ url, key }: Gateway, body: ChatRequest, signal: AbortSignal): Promise<Response> {
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

async function read (response: Response, model: string, sink: ModelSink, signal: AbortSignal): Promise<AnswerEnd> {
  const reader = new AnswerReader(model, sink)
  try {
    if (response.headers.get('content-type')?.includes('application/json')) reader.takeWhole(await response.text())
    else await readStream(response.body!, reader)
  } catch (cause) {
    signal.throwIfAborted()
    // After the end of the answer only the usage can be missing.
    if (!reader.hasEnded || cause instanceof ServiceError) throw cause instanceof ServiceError ? cause : errors.gatewayUnavailable().with({ cause })
  }
  reader.flush({ last: true })
  if (!reader.hasEnded) throw errors.gatewayUnavailable()
  return reader.end
}

async function readStream (body: AsyncIterable<Uint8Array>, reader: AnswerReader): Promise<void> {
  for await (const data of readData(body)) {
    reader.take(data)
    if (reader.isDone) return
  }
}
