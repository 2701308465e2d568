import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TSchema } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { createAjv } from '#shared/http/validation.ts'
import { ChatBody } from '../../src/contract/openai-schemas.js'
import { ResponsesBody } from '../../src/contract/responses-schemas.js'
import { readDocument, sectionOf, tableOf } from '../docs/markdown.js'
import { fetchForTest } from '../packages/fetch.js'
import { bearer, DEMO_AGENT, type Service, startService } from '../support/helper.js'

/** What asks for something: each is to be refused by its name. */
const ASKING: Record<string, unknown> = {
  n: 2,
  tools: [{ type: 'function', function: { name: 'f', parameters: {} } }],
  functions: [{ name: 'f' }],
  tool_choice: 'required',
  function_call: { name: 'f' },
  logprobs: true,
  top_logprobs: 3,
  audio: { voice: 'alloy', format: 'mp3' },
  modalities: ['text', 'audio'],
  stop: ['\n'],
  moderation: { model: 'omni' },
  web_search_options: {},
  conversation: 'conv_1',
  prompt: { id: 'pmpt_1' }
}
/** What asks for nothing, beside null. */
const NOTHING: Record<string, unknown[]> = {
  n: [1], tools: [[]], functions: [[]], tool_choice: ['none', 'auto'], function_call: ['none', 'auto'], logprobs: [false], top_logprobs: [0], modalities: [['text']], stop: [[]]
}

interface Api { title: string, path: string, body: Record<string, unknown>, schema: TSchema, types: [file: string, name: string] }

const APIS: Api[] = [
  {
    title: 'Parameters of chat completions',
    path: '/v1/chat/completions',
    body: { model: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] },
    schema: ChatBody,
    types: ['chat/completions/completions.d.ts', 'ChatCompletionCreateParamsBase']
  },
  {
    title: 'Parameters of Responses',
    path: '/v1/responses',
    body: { model: DEMO_AGENT, input: 'Hi' },
    schema: ResponsesBody,
    types: ['responses/responses.d.ts', 'ResponseCreateParamsBase']
  }
]

for (const api of APIS) {
  t.test(`compatibility.md: ${api.title.toLowerCase()}`, async t => {
    const { rows } = tableOf(sectionOf(readDocument('docs/reference/compatibility.md'), api.title), 'parameter')
    const listed = (is: string) => rows.filter(row => row[1] === is).map(([name]) => name!).sort()
    const inSchema = Object.keys(api.schema.properties)
    const fits = createAjv().compile(api.schema)
    const refuses = (name: string) => name in ASKING && !fits({ ...api.body, [name]: ASKING[name] })

    t.test('says of each what the schema does', async t => {
      t.strictSame(listed('refused'), inSchema.filter(refuses).sort())
      t.strictSame([...listed('refused'), ...listed('honoured')].sort(), inSchema.filter(name => name !== 'include').sort())
    })

    t.test('lists each parameter that OpenAI\'s package has', async t => {
      const names = await readTypes(t, api)
      if (names) t.strictSame(rows.map(([name]) => name).sort(), names.sort())
    })

    t.test('says of each what the service does', async t => {
      const service = await startService(t)
      const { gateway } = service
      for (const name of listed('refused')) {
        const calls = gateway.calls.length
        t.match(await ask(service, api, { [name]: ASKING[name] }), { status: 400, body: { error: { type: 'invalid_request_error', param: new RegExp(`^${name}`) } } }, name)
        t.equal(gateway.calls.length, calls)
        for (const value of [null, ...NOTHING[name] ?? []]) t.equal((await ask(service, api, { [name]: value })).status, 200, `${name} may be ${JSON.stringify(value)}`)
      }
      const odd = Object.fromEntries(listed('ignored').map(name => [name, name === 'include' ? ['anything'] : { unheard: 'of' }]))
      t.equal((await ask(service, api, odd)).status, 200)
      for (const name of Object.keys(odd)) t.notOk(name in gateway.calls.at(-1)!.body && JSON.stringify(gateway.calls.at(-1)!.body[name]).includes('unheard'), `${name} does not reach the model`)
    })
  })
}

async function ask ({ url }: Service, { path, body }: Api, more: object) {
  const response = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...await bearer() }, body: JSON.stringify({ ...body, ...more }) })
  return { status: response.status, body: await response.json() as any }
}

/** The names of the parameters in the types of OpenAI's newest package. */
async function readTypes (t: Test, { types: [file, name] }: Api): Promise<string[] | undefined> {
  const directory = await fetchForTest(t, 'openai')
  if (directory === undefined) return undefined
  const text = await readFile(join(directory, 'node_modules/openai-7/resources', file), 'utf8')
  const [, body] = new RegExp(`^export interface ${name}[^{]*\\{$([^]*?)^\\}$`, 'm').exec(text)!
  return [...body!.matchAll(/^ {4}(\w+)\??: /gm)].map(([, name]) => name!)
}
