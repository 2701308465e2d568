import { readFile, writeFile } from 'node:fs/promises'
import t from 'tap'
import { delta, ending, frame, inTurn, openStream, refuse, type Reply } from '../support/doubles/gateway.js'
import { DEMO_KEY, startService } from '../support/helper.js'

/** With UPDATE_GOLDEN=1 the recordings are written anew; what has changed is then in the difference of the files. */
const IS_UPDATE = process.env.UPDATE_GOLDEN === '1'

const call = frame({ choices: [{ index: 0, delta: { content: 'Let me look. ', tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{"word":"ünï"}' } }] } }] }) +
  ending('tool_calls')

/** What the gateway does behind each recorded stream. */
const REPLIES: Record<string, Reply> = {
  answer: inTurn(response => { openStream(response).end(call) }, response => { openStream(response).end(delta('Dönë') + ending()) }),
  failure: refuse(400, 'no')
}

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
      const service = await startService(t)
      let calls = 0
      service.gateway.reply = (response, call) => reply(response, call, ++calls)
      const response = await fetch(`${service.url}/mcp`, {
        method: 'POST',
        headers: { accept: 'application/json, text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}`, ...headers },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'demo_agent', arguments: { message: 'Hi' }, _meta: { progressToken: 'p', ...meta } } })
      })
      const told = withoutChance(await response.text())
      const file = new URL(`golden/mcp-${era}-${what}.txt`, import.meta.url)
      if (IS_UPDATE) await writeFile(file, told)
      t.equal(told, await readFile(file, 'utf8'))
    })
  }
}
