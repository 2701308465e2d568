import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { IdempotencyKey, Messages, Nullable, ResponseFormat } from '#shared/schemas.ts'

/** What cannot be sent but as nothing: null, and what means the same. */
export const Nothing = (...same: TSchema[]) => Type.Optional(Type.Union([Type.Null(), ...same]))
export const Empty = Type.Array(Type.Unknown(), { maxItems: 0 })

/** The packages of OpenAI count how often they have sent a request before. */
export const RepeatableHeaders = Type.Object({
  'idempotency-key': Type.Optional(IdempotencyKey),
  'x-stainless-retry-count': Type.Optional(Type.Integer({ minimum: 0 }))
})

/**
 * What a client of OpenAI's chat completions sends. The model, its instructions, its parameters and its tools are the agent's:
 * parameters that only tune an answer are ignored, as OpenAI's own models ignore some; those without which the answer is
 * another kind of answer are refused.
 */
export const ChatBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 200 }),
  messages: Messages,
  stream: Type.Optional(Nullable(Type.Boolean())),
  stream_options: Type.Optional(Nullable(Type.Object({ include_usage: Type.Optional(Nullable(Type.Boolean())) }))),
  response_format: Type.Optional(Nullable(ResponseFormat)),
  n: Type.Optional(Nullable(Type.Integer({ minimum: 1, maximum: 1 }))),
  tools: Nothing(Empty),
  functions: Nothing(Empty),
  tool_choice: Nothing(Type.Literal('none'), Type.Literal('auto')),
  function_call: Nothing(Type.Literal('none'), Type.Literal('auto')),
  logprobs: Nothing(Type.Literal(false)),
  top_logprobs: Nothing(Type.Literal(0)),
  audio: Nothing(),
  modalities: Type.Optional(Nullable(Type.Array(Type.Literal('text')))),
  stop: Nothing(Empty),
  moderation: Nothing(),
  web_search_options: Nothing()
})

const Usage = Type.Object({ prompt_tokens: Type.Integer(), completion_tokens: Type.Integer(), total_tokens: Type.Integer() })

export const ChatCompletion = Type.Object({
  id: Type.String(),
  object: Type.Literal('chat.completion'),
  created: Type.Integer(),
  model: Type.String(),
  choices: Type.Array(Type.Object({
    index: Type.Integer(),
    message: Type.Object({
      role: Type.Literal('assistant'),
      content: Type.String(),
      refusal: Type.Null(),
      reasoning_content: Type.Optional(Type.String())
    }),
    logprobs: Type.Null(),
    finish_reason: Type.String()
  })),
  usage: Usage
})

export type ChatCompletion = Static<typeof ChatCompletion>

export const OpenAIModel = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer(),
  owned_by: Type.String(),
  name: Type.String()
})

export const OpenAIModels = Type.Object({ object: Type.Literal('list'), data: Type.Array(OpenAIModel) })

export const OpenAIError = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Nullable(Type.String()),
    code: Nullable(Type.String()),
    run_id: Type.Optional(Type.String())
  })
})
