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
  'responses-tools': inTurn(response => { openStream(response).end(thinkAndCall) }, response => { openStream(response).end(delta('Done') + ending()) }),
  'responses-rewind': inTurn((response, call, number) => {
    hang('Hello wor')(response, call, number)
    setTimeout(() => response.destroy(), 100)
  }, response => { openStream(response).end(delta('Good day') + ending('length')) })
}

/** A stream without what differs from run to run: ids and times. */
function withoutChance (raw: string, runId: string): string {
  return raw.replaceAll(runId, '<run>').replaceAll(runId.replaceAll('-', ''), '<run>')
    .replace(/"(created_at|completed_at)":\d+/g, '"$1":0')
    .replace(/^: ping\n\n/gm, '')
}

for (const [name, reply] of Object.entries(REPLIES)) {
  t.test(`the stream ${name} is byte for byte as it was recorded`, async t => {
    const service = await startService(t)
    let calls = 0
    service.gateway.reply = (response, call) => reply(response, call, ++calls)
    const response = await fetch(`${service.url}/v1/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}` },
      body: JSON.stringify({ model: DEMO_AGENT, input: 'Hi', stream: true })
    })
    const told = withoutChance(await response.text(), response.headers.get('x-run-id')!)
    const file = new URL(`golden/${name}.txt`, import.meta.url)
    if (IS_UPDATE) await writeFile(file, told)
    t.equal(told, await readFile(file, 'utf8'))
  })
}
