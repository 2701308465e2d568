import { Type } from '@sinclair/typebox'

// What the bodies of streams are: text, of which JSON Schema can say no more than a sentence does.

/** A run's own events. */
export const RunStream = Type.String({
  description: 'Server-Sent Events. `data` is a RunEvent as JSON and `id` its number; `data: [DONE]` ends the stream of a run that has ended. ' +
    'A connection that ends before its run ends with `{"type":"reconnect","after":…}`, or with an `error` for readers that do not know `reconnect`.',
  'x-event-schema': '#/components/schemas/RunEvent'
})

/** Chunks of OpenAI's chat completions. */
export const ChatStream = Type.String({
  description: 'Server-Sent Events. `data` is a `chat.completion.chunk` of OpenAI\'s API as JSON, or an OpenAIError; `data: [DONE]` ends the stream of a run that has succeeded.'
})

/** Events of OpenAI's Responses. */
export const ResponseStream = Type.String({
  description: 'Server-Sent Events. `event` is the type of an event of OpenAI\'s Responses, such as `response.output_text.delta`, and `data` the event as JSON with its `sequence_number`.'
})

/** Chunks of the AI SDK. */
export const UiStream = Type.String({
  description: 'Server-Sent Events. `data` is a part of the AI SDK\'s UI message stream, version 1, as JSON; `data: [DONE]` ends it.'
})

/** Events of AG-UI. */
export const AgUiStream = Type.String({
  description: 'Server-Sent Events. `data` is an event of AG-UI 1.0 as JSON; the last is `RUN_FINISHED` or `RUN_ERROR`.'
})

/** Messages of MCP. */
export const McpStream = Type.String({
  description: 'Server-Sent Events. `data` is a JSON-RPC message of the Model Context Protocol; the last is the answer.'
})

/** Ends a connection whose run goes on; it is no event of the run, and has no number. */
export const ReconnectEvent = Type.Object({ type: Type.Literal('reconnect'), after: Type.Integer() })
