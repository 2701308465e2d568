import { ServiceError } from '../../_shared/errors.ts'
import { errorOfCutOff, errorOfReading } from '../../_shared/gateway/answer-form.ts'
import { type ChatRequest, Dialects } from '../../_shared/gateway/dialect.ts'
import type { AnswerEnd } from '../../_shared/gateway/frame-reader.ts'
import { hideQuotes } from '../../_shared/gateway/quotes.ts'
import { errorOfStatus, readErrorBody, Refusal } from '../../_shared/gateway/refusals.ts'
import { readRetryAfter } from '../../_shared/http/retry-after.ts'
import { toWireJson } from '../../_shared/gateway/wire.ts'
import type { ModelMessage } from '../../_shared/messages.ts'
import type { ResponseFormat } from '../../_shared/schemas.ts'
import type { TraceContext } from '../../_shared/traces/trace-context.ts'
import { readAnswer } from './answer-body.ts'
import { post } from './post.ts'
import { AnswerReader, type ModelSink } from './answer-reader.ts'

export interface Gateway { url: string, key?: string }

export interface ModelRequest {
  model: string
  messages: ModelMessage[]
  temperature: number
  maxTokens: number
  responseFormat?: ResponseFormat
  /** The trace that the request hands on. */
  trace?: TraceContext
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
    const response = await post(gateway, toWireJson(body), signal, request.trace)
    if (response.status === 200) return await read(response, request.model, sink, signal)
    const said = readErrorBody(await response.text().catch(() => ''))
    const error = errorOfStatus(response.status, said, readRetryAfter(name => response.headers.get(name)))
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

async function read (response: Response, model: string, sink: ModelSink, signal: AbortSignal): Promise<AnswerEnd> {
  const reader = new AnswerReader(model, sink)
  try {
    await readAnswer(untilAborted(response.body!, signal), reader)
  } catch (error) {
    signal.throwIfAborted()
    // After the end of the answer only the usage can be missing.
    if (!reader.hasEnded || error instanceof ServiceError) throw errorOfReading(error)
  }
  reader.flush({ last: true })
  if (!reader.hasEnded) signal.throwIfAborted()
  if (!reader.hasEnded) throw errorOfCutOff()
  return reader.end
}

/**
 * The bytes of a body until the signal is aborted. The signal of `fetch` is not enough: once nothing refers to the request any more,
 * its connection to the signal may be collected, and a body that waits would wait for ever.
 */
async function * untilAborted (body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  const cancel = () => { reader.cancel(signal.reason).catch(() => {}) }
  signal.addEventListener('abort', cancel)
  if (signal.aborted) cancel()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
  } finally {
    signal.removeEventListener('abort', cancel)
    // Whoever stops reading closes the connection.
    cancel()
  }
}
