import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { TSchema } from '@sinclair/typebox'
import type { FastifyInstance, RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import { SHAPES } from '../../src/contract/shapes.js'
import { BACKEND_SECRET, bearer, DEMO_KEY, DEMO_USER, OTHER_USER, type Service, startEmbedded } from '../support/helper.js'
import { readDocument, type Section, sectionOf, tableOf } from './markdown.js'
import { documentedFields, fieldsOf, wordsOf } from './schema-words.js'

const PARTS = { path: 'params', query: 'querystring', header: 'headers', body: 'body' } as const
/** Shapes that have every field of another. */
const PARENTS: Record<string, string[]> = { ListedRun: ['Run'], AdminRun: ['Run', 'ListedRun'], CreatedApiKey: ['ApiKey'], InspectedRun: ['Run'], InspectedAgent: ['AdminAgent'] }
const ROUTE = /^(GET|POST|PUT|PATCH|DELETE) (\/\S*)$/

const document = readDocument('docs/reference/http.md')
const documented = document.sections.filter(({ title }) => ROUTE.test(title))

t.test('http.md', async t => {
  const { service, routes } = await startListed(t)

  t.test('lists every route of the service, and no other', async t => {
    const own = routes.filter(({ method, url }) => method !== 'HEAD' && url !== '*').map(nameOf)
    t.strictSame(documented.map(({ title }) => title).sort(), own.sort())
  })

  t.test('says rightly that GET routes answer HEAD', async t => {
    const head = routes.filter(({ method }) => method === 'HEAD').map(({ url }) => url)
    t.strictSame(head.sort(), routes.filter(({ method }) => method === 'GET').map(({ url }) => url).sort())
  })

  for (const section of documented) {
    t.test(`lists the fields of ${section.title}, with their types`, async t => {
      const { schema = {} } = routes.find(route => nameOf(route) === section.title)!
      const fields = Object.entries(PARTS).flatMap(([part, key]) => schema[key] ? fieldsOf(schema[key] as TSchema).map(([name, words]) => `${part} ${name}: ${words}`) : [])
      const listed = section.tables.length > 0 ? tableOf(section, 'in').rows.map(([part, name, words]) => `${part} ${name}: ${words}`) : []
      t.strictSame(listed.sort(), fields.sort())
    })

    t.test(`lists the answers of ${section.title}`, async t => {
      const { response = {} } = routes.find(route => nameOf(route) === section.title)!.schema ?? {}
      const answers = Object.entries(response as Record<string, TSchema>).filter(([status]) => /^\d+$/.test(status))
        .map(([status, schema]) => `${status} ${wordsOf(schema)}`)
      t.strictSame(answersIn(section), answers.sort())
    })

    // The WebSocket has tests of its own for who may connect.
    if (section.title === 'GET /ws') continue
    t.test(`says rightly who may call ${section.title}`, async t => holdsCaller(t, service, section))
  }

  t.test('lists the fields of every shape of the contract that is not a route\'s body', async t => {
    const titles = document.sections.map(({ title }) => title)
    const inDocument = titles.slice(titles.indexOf('Shapes') + 1)
    t.strictSame(inDocument.sort(), Object.keys(SHAPES).filter(name => !name.endsWith('Body') || name === 'ErrorBody').sort())
    for (const name of inDocument) {
      const section = sectionOf(document, name)
      const inherited = (PARENTS[name] ?? []).flatMap(parent => documentedFields(tableOf(sectionOf(document, parent), 'field')))
      t.strictSame([...inherited, ...documentedFields(tableOf(section, 'field'))], fieldsOf(SHAPES[name]!), name)
    }
  })
})

/** The service, and every route that it has registered. */
async function startListed (t: Test): Promise<{ service: Service, routes: RouteOptions[] }> {
  const routes: RouteOptions[] = []
  const onInitialization = (message: unknown) => {
    // Another one only reads Helmet's headers, and listens nowhere: the service is the last.
    routes.length = 0
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', route => { routes.push({ ...route }) })
  }
  subscribe('fastify.initialization', onInitialization)
  const service = await startEmbedded(t)
  unsubscribe('fastify.initialization', onInitialization)
  return { service, routes }
}

function nameOf ({ method, url }: RouteOptions): string {
  return `${String(method)} ${url}`
}

/** `Answers: 200 [Run](#run); 202 …` without the links. */
function answersIn ({ prose }: Section): string[] {
  const [, answers = ''] = /^Answers: (.*)\.$/m.exec(prose.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')) ?? []
  return answers.split('; ').filter(Boolean).sort()
}

async function holdsCaller (t: Test, service: Service, section: Section): Promise<void> {
  const [, caller] = /^Caller: (\w+)\.$/m.exec(section.prose) ?? []
  const [, method, path] = ROUTE.exec(section.title)!
  const statusFor = async (headers: Record<string, string>) => {
    const body = method === 'POST' ? {} : undefined
    return (await service.request(method!, path!.replace(':id', DEMO_USER), { body, headers })).status
  }
  const statuses = {
    nobody: await statusFor({ anonymous: '' }),
    secret: await statusFor({ 'x-railway-secret': BACKEND_SECRET }),
    key: await statusFor({ 'x-api-key': DEMO_KEY }),
    session: await statusFor(await bearer(DEMO_USER))
  }
  const REFUSED = [401, 403]
  const hasBody = section.tables.some(({ rows }) => rows.some(([where]) => where === 'body'))
  const admitted = Object.entries(statuses).filter(([, status]) => !REFUSED.includes(status)).map(([who]) => who)
  const expected: Record<string, string[]> = {
    nobody: ['nobody', 'secret', 'key', 'session'],
    user: ['key', 'session'],
    // The demo key has no scope, and no visitors.
    reader: ['session'],
    visitor: [],
    session: ['session'],
    secret: ['secret'],
    // From this machine.
    scraper: ['nobody', 'secret', 'key', 'session']
  }
  t.strictSame(admitted, expected[caller!], String(caller))
  if (path!.startsWith('/api/admin/')) t.equal(await statusFor(await bearer(OTHER_USER)), hasBody ? 400 : 403, 'admins alone')
}
