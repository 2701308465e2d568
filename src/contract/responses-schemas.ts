import { type Static, Type } from '@sinclair/typebox'
import { Enum, Nullable } from '#shared/schemas.ts'
import { Empty, Nothing } from './openai-schemas.js'

const Text = Type.String()

/** An item as clients send it; `readItems` says what each type needs. */
export const InputItem = Type.Object({
  type: Type.Optional(Nullable(Text)),
  id: Type.Optional(Nullable(Type.String({ maxLength: 200 }))),
  role: Type.Optional(Text),
  content: Type.Optional(Type.Unknown()),
  call_id: Type.Optional(Text),
  name: Type.Optional(Text),
  arguments: Type.Optional(Text),
  output: Type.Optional(Type.Unknown())
})
export type InputItem = Static<typeof InputItem>

const TextFormat = Type.Object({
  type: Enum('text', 'json_object', 'json_schema'),
  name: Type.Optional(Text),
  description: Type.Optional(Text),
  schema: Type.Optional(Type.Object({})),
  strict: Type.Optional(Nullable(Type.Boolean()))
})
export type TextFormat = Static<typeof TextFormat>

/**
 * What a client of OpenAI's Responses sends. As in chat completions, the model, its parameters and its tools are the agent's:
 * what only tunes an answer is ignored, and what would make it another kind of answer can be sent but as nothing.
 */
export const ResponsesBody = Type.Object({
  model: Type.String({ minLength: 1, maxLength: 200 }),
  input: Type.Union([Type.String({ minLength: 1 }), Type.Array(InputItem, { minItems: 1, maxItems: 2000 })]),
  instructions: Type.Optional(Nullable(Text)),
  previous_response_id: Type.Optional(Nullable(Text)),
  stream: Type.Optional(Nullable(Type.Boolean())),
  background: Type.Optional(Nullable(Type.Boolean())),
  store: Type.Optional(Nullable(Type.Boolean())),
  metadata: Type.Optional(Nullable(Type.Object({}, { propertyNames: { maxLength: 64 }, additionalProperties: Type.String({ maxLength: 512 }), maxProperties: 16 }))),
  text: Type.Optional(Nullable(Type.Object({ format: Type.Optional(Nullable(TextFormat)) }))),
  include: Type.Optional(Nullable(Type.Array(Text, { maxItems: 100 }))),
  conversation: Nothing(),
  prompt: Nothing(),
  tools: Nothing(Empty),
  tool_choice: Nothing(Type.Literal('none'), Type.Literal('auto')),
  top_logprobs: Nothing(Type.Literal(0)),
  moderation: Nothing()
})
export type ResponsesBody = Static<typeof ResponsesBody>

const ResponseUsage = Type.Object({
  input_tokens: Type.Integer(),
  input_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
  output_tokens: Type.Integer(),
  output_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
  total_tokens: Type.Integer()
})

export const Response = Type.Object({
  id: Text,
  object: Type.Literal('response'),
  created_at: Type.Integer(),
  completed_at: Nullable(Type.Integer()),
  status: Enum('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'),
  background: Type.Boolean(),
  error: Nullable(Type.Object({ code: Text, message: Text })),
  incomplete_details: Nullable(Type.Object({ reason: Text })),
  instructions: Nullable(Text),
  max_output_tokens: Type.Null(),
  metadata: Type.Object({}, { additionalProperties: Text }),
  model: Text,
  output: Type.Array(Type.Unknown()),
  parallel_tool_calls: Type.Boolean(),
  previous_response_id: Nullable(Text),
  store: Type.Boolean(),
  temperature: Type.Null(),
  text: Type.Object({ format: Type.Unknown() }),
  tool_choice: Type.Literal('auto'),
  tools: Empty,
  top_p: Type.Null(),
  truncation: Type.Literal('disabled'),
  usage: Nullable(ResponseUsage)
})
export type Response = Static<typeof Response>

export const DeletedResponse = Type.Object({ id: Text, object: Type.Literal('response'), deleted: Type.Literal(true) })

export const ResponseItems = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(Type.Unknown()),
  first_id: Nullable(Text),
  last_id: Nullable(Text),
  has_more: Type.Boolean()
})
