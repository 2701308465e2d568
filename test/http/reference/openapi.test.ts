import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { IMAGE_URL, RunEvent } from '#shared/schemas.ts'
import { UUID } from '#shared/uuid.ts'
import { SHAPES } from '../../../src/contract/shapes.js'
import { readDocument } from '../../docs/markdown.js'
import { fetchForTest } from '../../packages/fetch.js'
import { BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_KEY, DEMO_USER, parseStream, type Service, startEmbedded } from '../../support/helper.js'

const METHODS = ['get', 'post', 'patch', 'delete']
/** What the examples call the run that there is. */
const RUN_OF_EXAMPLES = '6f0a1f0e-5a0e-4c58-9d5c-0d1f6f6b2a10'
const KEY_ORIGIN = 'https://www.example.com'
/** What is answered otherwise than with success here: nobody has asked for the address, the sources may have no widget, and MCP's messages are not described. */
const REFUSED: Record<string, RegExp> = { settleRailwayUrl: /^409$/, getWidget: /^(200|404)$/, getConsoleFile: /^404$/, callMcp: /^415$/ }
/** Whose streams are not of the native events. */
const OTHERS = /^\/(v1|api\/chat|ag-ui|copilotkit|mcp)/
/** Of the examples. */
const THREAD = 'thread-2'

interface Operation { method: string, path: string, operation: any }

t.test('the OpenAPI document', async t => {
  const service = await startEmbedded(t, { RATE_LIMIT_MAX: '10000' })
  const { body: document } = await service.request('GET', '/docs/json', { headers: { anonymous: '' } })
  const operations = operationsIn(document)

  t.test('is valid OpenAPI 3.1', async t => {
    const directory = await fetchForTest(t, 'api-documents')
    if (directory === undefined) return
    const { Validator } = await import(pathToFileURL(join(directory, 'node_modules/@seriousme/openapi-schema-validator/index.js')).href)
    const validator = new Validator()
    t.strictSame(await validator.validate(structuredClone(document)), { valid: true })
    t.equal(validator.version, '3.1')
    const broken = structuredClone(document)
    delete broken.paths['/health'].get.responses['200'].description
    t.match(await validator.validate(broken), { valid: false })
  })

  t.test('describes every route of the reference, each under a name of its own', async t => {
    const documented = readDocument('docs/reference/http.md').sections.filter(({ title }) => /^[A-Z]+ \//.test(title))
    const names = operations.map(({ method, path }) => `${method} ${path.replace(/\{(\w+)\}/g, ':$1')}`)
    t.strictSame(names.sort(), documented.map(({ title }) => title).sort())
    const ids = operations.map(({ operation }) => operation.operationId)
    t.equal(new Set(ids).size, ids.length)
    for (const { path, operation } of operations) {
      t.match(operation, { operationId: /^[a-z][a-zA-Z]+$/, summary: /^\S.*\S$/, description: String, tags: [String], security: Array }, path)
      t.notMatch(operation.summary + operation.description, /\]\(|undefined/, path)
      t.ok(document.tags.some(({ name }: any) => name === operation.tags[0]), path)
    }
  })

  t.test('says of every field what it means, and of every answer what it is', async t => {
    for (const { path, operation } of operations) {
      for (const { name, description } of operation.parameters ?? []) if (name !== 'id') t.type(description, 'string', `${path} ${name}`)
      for (const [status, { description }] of Object.entries<any>(operation.responses)) t.notMatch(description, /^Default Response$/, `${path} ${status}`)
    }
    const { properties } = document.components.schemas.ExecuteBody
    t.match(properties.messages, { type: 'array', items: { $ref: '#/components/schemas/Message' }, description: 'the conversation so far' })
    t.match(document.components.schemas.Run.properties.usage, { anyOf: [{ $ref: '#/components/schemas/Usage' }, { type: 'null' }] })
  })

  t.test('has the headers that routes read', async t => {
    const headersOf = (path: string, method: string) => document.paths[path][method].parameters.filter(({ in: place }: any) => place === 'header').map(({ name }: any) => name)
    t.strictSame(headersOf('/api/agent/execute', 'post'), ['idempotency-key', 'x-stream-events'])
    t.strictSame(headersOf('/api/runs/{id}/events', 'get'), ['last-event-id', 'x-stream-events'])
  })

  t.test('has each shape of the contract once, as a component', async t => {
    const { schemas } = document.components
    const events = RunEvent.anyOf.map(({ properties }) => properties.type.const as string)
    t.equal(Object.keys(schemas).length, Object.keys(SHAPES).length + events.length + 2)
    for (const event of events) t.ok(schemas.RunEvent.discriminator.mapping[event], event)
    t.same(document.paths['/api/runs/{id}'].get.responses['200'].content, { 'application/json': { schema: { $ref: '#/components/schemas/Run' } } })
    const text = JSON.stringify(document)
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) t.ok(schemas[name!], name!)
  })

  t.test('says which credentials each route takes, and the routes take these alone', async t => {
    const credentials: Record<string, Record<string, string>> = {
      accessToken: await bearer(DEMO_USER),
      bearerAuth: { authorization: `Bearer ${DEMO_KEY}` },
      apiKey: { 'x-api-key': DEMO_KEY },
      backendSecret: { 'x-railway-secret': BACKEND_SECRET }
    }
    for (const { method, path, operation } of operations) {
      // The WebSocket's handshake takes everybody, and so do the metrics on this machine; the key has neither the scope of readers nor visitors.
      if (path === '/metrics' || path === '/ws' || /scope|visitor of it/.test(operation.description)) continue
      const schemes = new Set(operation.security.flatMap(Object.keys))
      for (const [scheme, headers] of Object.entries(credentials)) {
        const { status } = await service.request(method, path.replace('{id}', 'x'), { headers, body: method === 'POST' ? {} : undefined })
        // Who may send a key may send an access token too, in the same header.
        const admitted = schemes.size === 0 || schemes.has(scheme) || (scheme === 'accessToken' && schemes.has('bearerAuth'))
        t.equal(![401, 403].includes(status), admitted, `${method} ${path} ${scheme}: ${status}`)
      }
    }
  })

  t.test('has an example of every body, and what it says of each route\'s answer is so', async t => {
    const answers = new Answers(t, service, document)
    await answers.prepare()
    for (const { method, path, operation } of inOrder(operations)) {
      if (path === '/ws') continue
      if (operation.requestBody) t.ok(operation.requestBody.content['application/json'].example, `${path} has an example`)
      await answers.check(method, path, operation)
    }
  })
})

/** Calls routes as their descriptions say, and holds their answers to them. */
class Answers {
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: true })
  /** What routes have answered, by the names of their operations. */
  readonly #made: Record<string, any> = {}

  constructor (private readonly t: Test, private readonly service: Service, document: object) {
    this.#ajv.addFormat('uuid', UUID).addFormat('http, https or data URL', IMAGE_URL)
    this.#ajv.addSchema({ ...document, $id: 'document' })
  }

  /** Makes what the examples speak of. */
  async prepare (): Promise<void> {
    const { events } = await this.service.execute()
    this.#made.run = events[0]
  }

  async check (method: string, path: string, operation: any): Promise<void> {
    const { operationId, requestBody, responses } = operation
    const example = requestBody?.content['application/json'].example
    const response = await fetch(this.service.url + path.replace('{id}', this.#idFor(operationId)).replace('{agentId}', DEMO_AGENT).replace('{threadId}', THREAD), {
      method,
      headers: { ...await this.#headersFor(operation), ...(example && { 'content-type': 'application/json' }) },
      body: example && JSON.stringify(example).replaceAll(RUN_OF_EXAMPLES, this.#made.run.runId)
    })
    const text = await response.text()
    const status = String(response.status)
    this.t.match(status, REFUSED[operationId] ?? /^20\d$/, `${operationId}: ${text.slice(0, 300)}`)
    const answer = status in responses ? status : `${status[0]}XX`
    this.t.ok(answer in responses, `${operationId} may answer ${status}`)
    if (responses[answer].content) this.#holds(path, method, answer, response.headers.get('content-type')!.split(';')[0]!, text, operationId)
    else this.t.equal(text, '', operationId)
  }

  #holds (path: string, method: string, status: string, type: string, text: string, operationId: string): void {
    const pointer = ['paths', path, method.toLowerCase(), 'responses', status, 'content', type, 'schema']
    const place = pointer.map(part => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const validate = this.#ajv.compile({ $ref: `document#/${place}` })
    const body = type === 'application/json' ? JSON.parse(text) : text
    this.#made[operationId] = body
    this.t.ok(validate(body), `${operationId} ${type} ${this.#ajv.errorsText(validate.errors)}`)
    if (type !== 'text/event-stream' || OTHERS.test(path)) return
    const isEvent = this.#ajv.compile({ $ref: 'document#/components/schemas/RunEvent' })
    const events = parseStream(text)
    this.t.ok(events.length > 1, `${operationId} tells events`)
    for (const { seq, ...event } of events) this.t.ok(isEvent(event), `${operationId} ${event.type} ${this.#ajv.errorsText(isEvent.errors)}`)
  }

  #idFor (operationId: string): string {
    if (operationId === 'deleteAnyAgent') return this.#made.createAgent.agentId
    if (/^delete(Agent|Function|Schedule)$/.test(operationId)) return this.#made[operationId.replace('delete', 'save')].id
    if (operationId === 'revokeApiKey') return this.#made.createApiKey.id
    if (['getLedger', 'grantCredits', 'eraseRunsOfUser', 'setRetentionOfUser'].includes(operationId)) return DEMO_USER
    if (['getModel', 'settleRailwayUrl', 'setHeavy', 'inspectAgent', 'editAgent', 'eraseRunsOfAgent', 'setRetentionOfAgent'].includes(operationId)) return DEMO_AGENT
    if (/Response$|^listInputItems$/.test(operationId)) return this.#made.createResponse?.id
    return /Chat$/.test(operationId) ? 'chat-1' : this.#made.run.runId
  }

  async #headersFor ({ operationId, security }: any): Promise<Record<string, string>> {
    const schemes = security.flatMap(Object.keys)
    if (operationId === 'createVisitor') return { 'x-api-key': this.#made.createApiKey.key, origin: KEY_ORIGIN }
    if (schemes.includes('backendSecret')) return { 'x-railway-secret': BACKEND_SECRET }
    return schemes.length > 0 ? bearer(DEMO_USER) : {}
  }
}

function operationsIn (document: any): Operation[] {
  return Object.entries<any>(document.paths).flatMap(([path, item]) =>
    METHODS.filter(method => method in item).map(method => ({ method: method.toUpperCase(), path, operation: item[method] })))
}

/** What makes something comes first, and what ends it last. */
function inOrder (operations: Operation[]): Operation[] {
  const rank = ({ operation: { operationId } }: Operation) => /^create/.test(operationId) ? 0 : /^(revoke|delete)/.test(operationId) ? 2 : 1
  return operations.toSorted((a, b) => rank(a) - rank(b))
}
