import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { describeAnswers, type DescribedOperation } from './answers.js'
import { refer, shapeComponents } from './components.js'
import { describeOperation } from './operations.js'
import { SECURITY_SCHEMES } from './security.js'
import { TEXTS } from './texts.js'

/** What the plugin has made, as far as something is missing in it. */
interface Document {
  paths: Record<string, Record<string, DescribedOperation>>
  components?: object
}

/**
 * Describes the routes that are registered after it: once the app is ready, `app.swagger()` makes the document, OpenAPI 3.1, from their
 * schemas and from the words of the reference.
 */
export async function describeRoutes (app: FastifyInstance, version: string): Promise<void> {
  await app.register(fastifySwagger, {
    // OpenAPI 3.1 has it, and it says more than an enumeration of one.
    convertConstToEnum: false,
    openapi: {
      openapi: '3.1.0',
      info: { title: 'jeesi-railway-backend', version, description: 'Runs AI agents durably: a run goes on whoever listens, its events can be read from any number on, and its credits are exact.' },
      servers: [{ url: '/' }],
      tags: [...TEXTS.tags],
      components: { securitySchemes: SECURITY_SCHEMES }
    },
    transform: ({ schema, url, route }) => ({ url, schema: describeOperation(`${String(route.method)} ${url}`, schema) }),
    transformObject: described => complete((described as { openapiObject: Document }).openapiObject) as never
  })
}

/** Puts shapes and words into what the plugin has made. */
function complete ({ paths, components, ...rest }: Document): object {
  for (const operation of Object.values(paths).flatMap(path => Object.values(path))) describeAnswers(operation)
  return { ...rest, paths: refer(paths), components: { ...components, schemas: shapeComponents() } }
}
