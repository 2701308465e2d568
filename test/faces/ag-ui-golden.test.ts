import t from 'tap'
import { DEMO_AGENT, DEMO_KEY } from '../support/helper.js'
import { holdRecording, startStory, STORIES } from './recordings.js'

/** A stream without what differs from run to run: ids and times. */
function withoutChance (raw: string, runId: string): string {
  return raw.replaceAll(runId, '<run>').replaceAll(runId.slice(0, 8), '<r>')
    .replace(/"(executionTime|delayMs)":\d+/g, '"$1":0')
    .replace(/^: ping\n\n/gm, '')
}

for (const [name, reply] of Object.entries(STORIES)) {
  t.test(`the stream of ${name}, and its replay for a page that connects, are byte for byte as they were recorded`, async t => {
    const service = await startStory(t, reply)
    const post = (path: string, messages: object[], runId: string) => fetch(`${service.url}/copilotkit/agent/${DEMO_AGENT}/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}` },
      body: JSON.stringify({ threadId: 'a thread', runId, protocolVersion: '1.0', messages, tools: [], context: [], state: {}, forwardedProps: {} })
    })
    const response = await post('run', [{ id: 'm1', role: 'user', content: 'Hi' }], 'a run')
    const told = await response.text() + '--- connect\n' + await (await post('connect', [], 'another')).text()
    await holdRecording(t, `ag-ui-${name}`, withoutChance(told, response.headers.get('x-run-id')!))
  })
}
