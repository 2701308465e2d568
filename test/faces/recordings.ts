import { readFile, writeFile } from 'node:fs/promises'
import type { Test } from 'tap'
import { delta, ending, frame, hang, inTurn, openStream, type Reply } from '../support/doubles/gateway.js'
import { type Service, startService } from '../support/helper.js'

/** With UPDATE_GOLDEN=1 the recordings are written anew; what has changed is then in the difference of the files. */
const IS_UPDATE = process.env.UPDATE_GOLDEN === '1'

const call = (text: object) => frame({
  choices: [{ index: 0, delta: { ...text, tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'nobody', arguments: '{"word":"ünï"}' } }] } }]
}) + ending('tool_calls')

/** What the gateway does behind recorded streams. */
export const CALL_TOOL = inTurn(response => { openStream(response).end(call({ content: 'Let me look. ' })) }, response => { openStream(response).end(delta('Dönë') + ending()) })
export const STORIES: Readonly<Record<'tools' | 'rewind', Reply>> = {
  tools: inTurn(response => { openStream(response).end(call({ reasoning_content: 'Hm.', content: 'Let me look. ' })) }, response => { openStream(response).end(delta('Done') + ending()) }),
  rewind: inTurn((response, call, number) => {
    hang('Hello wor')(response, call, number)
    setTimeout(() => response.destroy(), 100)
  }, response => { openStream(response).end(delta('Good day') + ending('length')) })
}

/** Starts the service behind which the gateway begins its story. */
export async function startStory (t: Test, reply: Reply): Promise<Service> {
  const service = await startService(t)
  let calls = 0
  service.gateway.reply = (response, call) => reply(response, call, ++calls)
  return service
}

/** Holds a stream, without what differs from run to run, to its recording, byte for byte. */
export async function holdRecording (t: Test, name: string, told: string): Promise<void> {
  const file = new URL(`golden/${name}.txt`, import.meta.url)
  if (IS_UPDATE) await writeFile(file, told)
  t.equal(told, await readFile(file, 'utf8'))
}
