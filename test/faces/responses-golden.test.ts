import t from 'tap'
import { DEMO_AGENT, DEMO_KEY } from '../support/helper.js'
import { holdRecording, startStory, STORIES } from './recordings.js'

/** A stream without what differs from run to run: ids and times. */
function withoutChance (raw: string, runId: string): string {
  return raw.replaceAll(runId, '<run>').replaceAll(runId.replaceAll('-', ''), '<run>')
    .replace(/"(created_at|completed_at)":\d+/g, '"$1":0')
    .replace(/^: ping\n\n/gm, '')
}

for (const [name, reply] of Object.entries(STORIES)) {
  t.test(`the stream of ${name} is byte for byte as it was recorded`, async t => {
    const service = await startStory(t, reply)
    const response = await fetch(`${service.url}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}` },
      body: JSON.stringify({ model: DEMO_AGENT, input: 'Hi', stream: true })
    })
    await holdRecording(t, `responses-${name}`, withoutChance(await response.text(), response.headers.get('x-run-id')!))
  })
}
