import { readdirSync } from 'node:fs'
import t from 'tap'
import { RunEvent } from '#shared/schemas.ts'
import { ServerMessages, SocketMessages } from '../../src/contract/socket-messages.js'
import { encodeReconnect, encodeSocket } from '../../src/http/websocket/encode.js'
import { DEMO_AGENT, DEMO_KEY, DEMO_USER, startService } from '../support/helper.js'
import { connect, execution, login, tickAll } from '../support/socket-client.js'
import { readDocument, readProjectFile, sectionOf, tableOf } from './markdown.js'
import { documentedFields, fieldsOf } from './schema-words.js'

const document = readDocument('docs/reference/websocket.md')
const fieldsAt = (title: string) => documentedFields(tableOf(sectionOf(document, title), 'field'))
const RUN = '6f0a1f0e-5a0e-4c58-9d5c-0d1f6f6b2a10'

t.test('websocket.md has a section for every message of a client, with every field and its type', async t => {
  for (const [type, schema] of Object.entries(SocketMessages)) t.strictSame(fieldsAt(type), fieldsOf(schema), type)
  const titles = document.sections.map(({ title }) => title)
  const documented = titles.slice(titles.indexOf('From the client') + 1, titles.indexOf('From the server'))
  t.strictSame(documented.sort(), Object.keys(SocketMessages).sort(), 'and for no other')
})

t.test('websocket.md lists the message of every event', async t => {
  const sent = RunEvent.anyOf.map(schema => {
    const { type } = schema.properties
    const message = decode(encodeSocket(1, { type: type.const } as RunEvent, RUN))
    return `${message.type} ${type.const}`
  })
  const { rows } = tableOf(sectionOf(document, 'Events of a run'), 'message')
  t.strictSame(rows.map(row => row.join(' ')).sort(), sent.sort())
})

t.test('websocket.md lists every type of message that the server has a word for, and no other', async t => {
  const sources = readdirSync(new URL('../../src/http/websocket/', import.meta.url)).map(file => readProjectFile(`src/http/websocket/${file}`)).join('\n')
  const clients = Object.keys(SocketMessages)
  const own = [...sources.matchAll(/'(agent_\w+)'/g), ...sources.matchAll(/type: '(\w+)'/g), ...sources.matchAll(/: '(error)'/g)].map(([, word]) => word!)
  const words = [...own, ...Object.keys(ServerMessages)]
  const [, ofServer] = document.text.split('\n## From the server\n')
  const documented = [...ofServer!.matchAll(/^(?:### |\| `)(agent_\w+|connected|auth_required|pong|error)(?:`|$)/gm)].map(([, word]) => word!)
  t.strictSame([...new Set(documented)].sort(), [...new Set(words.filter(word => !clients.includes(word)))].sort())
})

t.test('websocket.md lists the fields of every message that the service sends of its own, with their types', async t => {
  for (const type of ['connected', 'auth_required', 'pong', 'error', 'agent_reconnect']) t.strictSame(fieldsAt(type), fieldsOf(ServerMessages[type]!), type)
})

t.test('the server sends messages with the fields that websocket.md lists', async t => {
  const service = await startService(t)
  const client = await connect(t, service, { token: DEMO_KEY })
  const holds = async (title: string, message: Record<string, unknown>) => {
    const fields = fieldsAt(title).map(([name]) => name)
    t.strictSame(Object.keys(message).filter(name => !fields.includes(name) && !fields.includes(`${name}?`)), [], `${title} has no other field`)
    t.strictSame(fields.filter(name => !name.endsWith('?') && !(name in message)), [], `${title} has all that it must have`)
  }

  await holds('connected', await client.next('connected', { userId: DEMO_USER }))
  await holds('pong', await client.roundTrip())
  client.send({ type: 'agent_explode', requestId: 'a', runId: RUN })
  await holds('error', await client.next('error', { requestId: 'a', runId: RUN }))
  client.send(execution({ agentId: 'none', requestId: 'a' }))
  await holds('error', await client.next('error', { requestId: 'a' }))
  client.send({ type: 'resume', runId: RUN })
  await holds('agent_execution_error before there is a run', await client.next('agent_execution_error'))
  await holds('agent_reconnect', JSON.parse(encodeReconnect(RUN, 7)))

  client.send(execution({ agentId: DEMO_AGENT, requestId: 'b' }))
  const started = await client.next('agent_execution_started', { requestId: 'b' })
  const ended = await client.next('agent_execution_complete', { requestId: 'b' })
  const chunk = client.messages.find(({ type }) => type === 'agent_chunk')
  for (const message of [started, chunk, ended]) {
    for (const [name] of fieldsAt('Events of a run')) t.ok(name.endsWith('?') || name in message, `${message.type} has ${name}`)
  }
})

t.test('an expired token is asked for by the message that websocket.md lists', async t => {
  const service = await startService(t)
  const client = await login(t, service)
  // Its token is of twelve hours, and the connection itself ends after a day.
  tickAll(service, Date.now() + 13 * 3_600_000)
  t.strictSame(Object.keys(await client.next('auth_required')), fieldsAt('auth_required').map(([name]) => name))
})

function decode (frame: { toString (encoding: 'latin1'): string }): Record<string, unknown> {
  const text = typeof frame === 'string' ? frame : frame.toString('latin1')
  return JSON.parse(text.slice(text.indexOf('{')))
}
