import { WebSocket as Socket } from 'ws'
import { JeesiError, run, RunText } from '../../../src/client/client.js'
import { PATIENCE_MS } from './broken.js'
import type { FaceClient } from './faces.js'

/** This project's own client, which resumes by itself. */
export function loadClient (transport: 'sse' | 'websocket'): FaceClient {
  return {
    async ask ({ name, url, token, agentId }) {
      const text = new RunText()
      let response: string | undefined
      const options = { url, token, agentId, transport, patience: PATIENCE_MS, WebSocket: globalThis.WebSocket ?? Socket }
      for await (const event of run({ ...options, messages: [{ role: 'user', content: name }] })) {
        text.add(event)
        if (event.type === 'error') throw new JeesiError(event.error, event.code, 0)
        if (event.type === 'done') response = event.response
      }
      if (response !== text.value) throw new Error(`the end says ${JSON.stringify(response)}, and the events ${JSON.stringify(text.value)}`)
      return text.value
    },
    isTyped: error => error instanceof JeesiError
  }
}
