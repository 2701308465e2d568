import type { ModelMessage, ToolCall } from '../messages.ts'
import type { Usage } from '../schemas.ts'
import { describeInput, describeOutput, describeText } from './content.ts'
import { toFinishReasons, toModelName, toToolName } from './names.ts'
import type { SpanBeginning } from './open-span.ts'
import { type Attributes, SPAN_KIND } from './span.ts'

/** What a model is asked. */
export interface ChatRequest { readonly model: string, readonly temperature: number, readonly maxTokens: number, readonly messages: readonly ModelMessage[] }

/** What a model has answered, or what it took if it failed. */
export interface ChatOutcome {
  readonly model?: string | null
  readonly finishReason?: string | null
  readonly usage?: Usage
  readonly text?: string
  readonly toolCalls?: readonly ToolCall[]
  /** Why it failed: a code of ours. */
  readonly error?: string
}

/** The gateway, as operators have configured it. */
export interface GatewayPlace { readonly address: string, readonly port: number }

/** Every gateway is asked in OpenAI's protocol; whose models stand behind it is not known. */
const PROVIDER = 'openai'

/** Where a gateway is, without what may be secret in its URL. */
export function placeOf (url: string): GatewayPlace {
  const { hostname, port, protocol } = new URL(url)
  return { address: hostname, port: Number(port) || (protocol === 'https:' ? 443 : 80) }
}

/** The span of one request to the gateway, by the conventions for generative AI. */
export function beginChat ({ model, temperature, maxTokens, messages }: ChatRequest, gateway: GatewayPlace | undefined, hasContent: boolean): SpanBeginning {
  const name = toModelName(model)
  return {
    name: name === undefined ? 'chat' : `chat ${name}`,
    kind: SPAN_KIND.client,
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': PROVIDER,
      'gen_ai.request.model': name,
      'gen_ai.request.temperature': temperature,
      'gen_ai.request.max_tokens': maxTokens,
      'server.address': gateway?.address,
      'server.port': gateway?.port
    },
    content: hasContent ? { 'gen_ai.input.messages': describeInput(messages) } : undefined
  }
}

/** What is known once the gateway has answered, or has failed. */
export function attributesOfChat ({ model, finishReason, usage }: ChatOutcome): Attributes {
  return {
    'gen_ai.response.model': toModelName(model),
    'gen_ai.response.finish_reasons': toFinishReasons(finishReason),
    'gen_ai.usage.input_tokens': usage?.promptTokens,
    'gen_ai.usage.output_tokens': usage?.completionTokens
  }
}

export function contentOfChat ({ text = '', toolCalls = [], finishReason = null }: ChatOutcome, hasContent: boolean): Attributes {
  return hasContent && (text !== '' || toolCalls.length > 0) ? { 'gen_ai.output.messages': describeOutput(text, toolCalls, finishReason) } : {}
}

/** The span of a call of a tool. @param isKnown whether there is such a tool: any other name is a text of the model's. */
export function beginTool ({ id, function: { name, arguments: json } }: ToolCall, isKnown: boolean, hasContent: boolean): SpanBeginning {
  const known = isKnown ? toToolName(name) : undefined
  return {
    name: known === undefined ? 'execute_tool' : `execute_tool ${known}`,
    kind: SPAN_KIND.internal,
    attributes: { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': known },
    content: hasContent ? { 'gen_ai.tool.call.id': describeText(id), 'gen_ai.tool.call.arguments': describeText(json) } : undefined
  }
}

export function contentOfTool (result: string | undefined, hasContent: boolean): Attributes {
  return hasContent && result !== undefined ? { 'gen_ai.tool.call.result': describeText(result) } : {}
}
