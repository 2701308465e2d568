import { readFile, writeFile } from 'node:fs/promises'
import t from 'tap'
import { delta, ending, frame, hang, inTurn, openStream, type Reply } from '../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, startService } from '../support/helper.js'

/** With UPDATE_GOLDEN=1 the recordings are written anew; what has changed is then in the difference of the files. */
const IS_UPDATE = process.env.UPDATE_GOLDEN === '1'

const thinkAndCall = frame({
  choices: [{
    index: 0,
    delta: { reasoning_content: 'Hm.', content: 'Let me look. ', tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{"word":"ünï"}' } }] }
  }]
}) + ending('tool_calls')

/** What the gateway does behind each recorded stream. */
const REPLIES: Record<string, Reply> = {
  'ag-ui-tools': inTurn(response => { openStream(response).end(thinkAndCall) }, response => { openStream(response).end(delta('Done') + ending()) }),
  'ag-ui-rewind': inTurn((response, call, number) => {
    hang('Hello wor')(response, call, number)
    setTimeout(() => response.destroy(), 100)
  }, response => { openStream(response).end(delta('Good day') + ending('length')) })
}

/** A stream without what differs from run to run: ids and times. */
function withoutChance (raw: string, runId: string): string {
  return raw.replaceAll(runId, '<run>').replaceAll(runId.slice(0, 8), '<r>')
    .replace(/"(executionTime|delayMs)":\d+/g, '"$1":0')
    .replace(/^: ping\n\n/gm, '')
}

for (const [name, reply] of Object.entries(REPLIES)) {
  t.test(`the stream ${name}, and its replay for a page that connects, are byte for byte as they were recorded`, async t => {
    const service = await startService(t)
    let calls = 0
    service.gateway.reply = (response, call) => reply(response, call, ++calls)
    const post = (path: string, messages: object[], runId: string) => fetch(`${service.url}/copilotkit/agent/${DEMO_AGENT}/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}` },
      body: JSON.stringify({ threadId: 'a thread', runId, protocolVersion: '1.0', messages, tools: [], context: [], state: {}, forwardedProps: {} })
    })
    const response = await post('run', [{ id: 'm1', role: 'user', content: 'Hi' }], 'a run')
    const told = await response.text() + '--- connect\n' + await (await post('connect', [], 'another')).text()
    const recorded = withoutChance(told, response.headers.get('x-run-id')!)
    const file = new URL(`golden/${name}.txt`, import.meta.url)
    if (IS_UPDATE) await writeFile(file, recorded)
    t.equal(recorded, await readFile(file, 'utf8'))
  })
}
