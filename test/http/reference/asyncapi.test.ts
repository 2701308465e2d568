import { createRequire } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { ServerMessages, SocketMessages } from '../../../src/contract/socket-messages.js'
import { readDocument, sectionOf, tableOf } from '../../docs/markdown.js'
import { fetchForTest } from '../../packages/fetch.js'
import { startService } from '../../support/helper.js'

const document = readDocument('docs/reference/websocket.md')
const namesAt = (title: string) => tableOf(sectionOf(document, title), 'field').rows.map(([name]) => name!)
/** The fields of a payload as the reference writes them: an optional one ends with `?`. */
const namesIn = ({ properties, required = [] }: any) => Object.keys(properties).map(name => required.includes(name) ? name : `${name}?`)

t.test('the AsyncAPI document', async t => {
  const { request } = await startService(t)
  const { body: asyncapi } = await request('GET', '/docs/asyncapi.json', { headers: { anonymous: '' } })
  const { messages } = asyncapi.components
  const operations = Object.values<any>(asyncapi.operations)

  t.test('is valid AsyncAPI 3', async t => {
    const directory = await fetchForTest(t, 'api-documents')
    if (directory === undefined) return
    const { Parser } = createRequire(join(directory, 'package.json'))('@asyncapi/parser')
    const problemsOf = async (text: string) => (await new Parser().validate(text)).filter(({ severity }: any) => severity === 0).map(({ message, path }: any) => ({ message, path }))
    t.strictSame(await problemsOf(JSON.stringify(asyncapi)), [])
    t.not((await problemsOf(JSON.stringify({ ...asyncapi, channels: { socket: { adress: '/ws' } } }))).length, 0, 'the parser finds what is wrong')
  })

  t.test('has every message, and says who sends it', async t => {
    t.strictSame(Object.keys(messages).sort(), [...Object.keys(SocketMessages), ...Object.keys(ServerMessages)].sort())
    const said = (action: string) => operations.filter(operation => operation.action === action).map(({ messages: [{ $ref }] }) => $ref.split('/').at(-1)).sort()
    t.strictSame(said('receive'), Object.keys(SocketMessages).sort())
    t.strictSame(said('send'), Object.keys(ServerMessages).sort())
  })

  t.test('has the fields that websocket.md lists', async t => {
    const titles = document.sections.map(({ title }) => title).filter(title => title in messages)
    t.ok(titles.length > 8)
    for (const title of titles) t.strictSame(namesIn(messages[title].payload), namesAt(title), title)
    const [event, refusal, cutOff] = messages.agent_execution_error.payload.anyOf
    t.strictSame(namesIn(refusal), namesAt('agent_execution_error before there is a run'))
    t.strictSame(namesIn(cutOff).filter(name => !namesIn(refusal).includes(name)), ['runId', 'retryable'], 'the end of a connection has two differences')
    for (const name of namesAt('Events of a run')) t.ok(namesIn(event).includes(name), name)
  })

  t.test('has the fields of every event of a run, with what they mean', async t => {
    const events = readDocument('docs/reference/events.md')
    const common = namesAt('Events of a run')
    for (const [name, type] of tableOf(sectionOf(document, 'Events of a run'), 'message').rows) {
      const { payload } = messages[name!]
      const schema = payload.anyOf?.[0] ?? payload
      const fields = tableOf(sectionOf(events, type!), 'field').rows.map(([field]) => field!)
      t.strictSame(namesIn(schema).sort(), [...new Set([...fields, ...common])].sort(), name!)
      for (const [field, { description }] of Object.entries<any>(schema.properties)) if (field !== 'type') t.type(description, 'string', `${name} ${field}`)
    }
  })

  t.test('has all that it refers to', async t => {
    const references = [...JSON.stringify(asyncapi).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path!)
    t.ok(references.length > 20)
    for (const path of references) t.type(path.split('/').reduce((value: any, name) => value?.[name], asyncapi), 'object', path)
  })
})
