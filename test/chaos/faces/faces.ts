import type { Package } from '../../packages/fetch.js'

/** What a face's client is asked. */
export interface Question {
  /** The user's message, and the name of the conversation. */
  name: string
  /** Of the service, by a way that breaks. */
  url: string
  token: string
  agentId: string
}

/** An official client of one of the service's faces. */
export interface FaceClient {
  /** Returns the text that a program with this client takes for the whole answer. Throws what the client throws. */
  ask (question: Question): Promise<string>
  /** Whether the client says by this error what has failed; no error of the protocol is typed. */
  isTyped (error: any): boolean
}

/** One way in which programs speak to the service. */
export interface Face {
  /** The package in which the client is; none: it is this project's own. */
  from?: Package
  /** @param directory that of the package, with its node_modules. */
  load (directory: string): Promise<FaceClient>
}

/** Every face that the chaos run asks by, a line each. A client is loaded in the program of the faces alone. */
export const FACES: Record<string, Face> = {
  'chat completion': { from: 'openai', load: async directory => (await import('./chat-completions.js')).loadWhole(directory) },
  'chat completion, streamed': { from: 'openai', load: async directory => (await import('./chat-completions.js')).loadStream(directory) },
  response: { from: 'openai', load: async directory => (await import('./responses.js')).loadWhole(directory) },
  'response, streamed': { from: 'openai', load: async directory => (await import('./responses.js')).loadStream(directory) },
  'response, by the helper': { from: 'openai', load: async directory => (await import('./responses.js')).loadHelper(directory) },
  'response, in the background': { from: 'openai', load: async directory => (await import('./responses.js')).loadBackground(directory) },
  'AI SDK 5': { from: 'ai-sdk', load: async directory => (await import('./ai-sdk.js')).loadDefault(directory, 'ai-5', 5) },
  'AI SDK 7': { from: 'ai-sdk', load: async directory => (await import('./ai-sdk.js')).loadDefault(directory, 'ai', 7) },
  'AI SDK, workflow': { from: 'ai-sdk', load: async directory => (await import('./ai-sdk.js')).loadWorkflow(directory) },
  MCP: { load: async () => (await import('./mcp.js')).loadMcp() },
  'AG-UI': { from: 'ag-ui', load: async directory => (await import('./ag-ui.js')).loadAgUi(directory) },
  'client, SSE': { load: async () => (await import('./client.js')).loadClient('sse') },
  'client, WebSocket': { load: async () => (await import('./client.js')).loadClient('websocket') }
}
