import t from 'tap'
import { refuse, type Reply } from '../support/doubles/gateway.js'
import { DEMO_KEY } from '../support/helper.js'
import { CALL_TOOL, holdRecording, startStory } from './recordings.js'

/** What the gateway does behind each recorded stream. */
const REPLIES: Record<string, Reply> = { answer: CALL_TOOL, failure: refuse(400, 'no') }

const META = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {}
}
const ERAS = {
  2025: { headers: { 'mcp-protocol-version': '2025-11-25' }, meta: {} },
  2026: { headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'demo_agent' }, meta: META }
}

/** A stream without what differs from run to run: ids, times, this release, and all words of progress but the first, which depend on the pace. */
function withoutChance (raw: string): string {
  let count = 0
  return raw.replace(/^event: message\ndata: .*"method":"notifications\/progress".*\n\n/gm, words => count++ === 0 ? words : '')
    .replace(/^: keepalive\n\n/gm, '')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<run>')
    .replace(/"executionTime":\d+/g, '"executionTime":0')
    .replace(/"version":"[^"]*"/g, '"version":"<version>"')
}

for (const [era, { headers, meta }] of Object.entries(ERAS)) {
  for (const [what, reply] of Object.entries(REPLIES)) {
    t.test(`the stream of the ${what} of a tool is byte for byte as it was recorded, in the protocol of ${era}`, async t => {
      const service = await startStory(t, reply)
      const response = await fetch(`${service.url}/mcp`, {
        method: 'POST',
        headers: { accept: 'application/json, text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}`, ...headers },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'demo_agent', arguments: { message: 'Hi' }, _meta: { progressToken: 'p', ...meta } } })
      })
      await holdRecording(t, `mcp-${era}-${what}`, withoutChance(await response.text()))
    })
  }
}
