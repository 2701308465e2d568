import type { FastifySchema } from 'fastify'
import { CALLERS, securityOf } from './security.js'
import { type Meanings, TEXTS } from './texts.js'

/** The schema of an object, as far as it is described. */
interface Parts { readonly properties?: Readonly<Record<string, object>> }

/**
 * Adds to a route's schemas what the reference says of the route.
 * @param route its method and address: `GET /api/runs/:id`.
 */
export function describeOperation (route: string, schema: FastifySchema = {}): FastifySchema {
  const text = TEXTS.operations[route]
  if (!text) return schema
  const { id: operationId, tag, caller, summary, description, fields, examples } = text
  const { querystring, params, headers, body } = schema as Record<string, Parts | undefined>
  const example = Object.entries(examples).find(([name]) => name.endsWith('Body'))?.[1]
  return {
    ...schema,
    operationId,
    summary,
    description: [description, CALLERS[caller]].join('\n\n'),
    tags: [tag],
    security: securityOf(caller, querystring?.properties),
    ...(querystring && { querystring: withMeanings(querystring, fields, 'query') }),
    ...(params && { params: withMeanings(params, fields, 'path') }),
    ...(headers && { headers: withMeanings(headers, fields, 'header') }),
    // What its fields mean stands with the shape that the body is.
    ...(body && { body: example === undefined ? body : { ...body, examples: [example] } })
  }
}

function withMeanings (part: Parts, fields: Meanings, kind: string): Parts {
  return { ...part, properties: describeProperties(part.properties, name => fields[`${kind} ${name}`]) }
}

/** Describes the properties of an object. @param meaning of a property; undefined or empty if there is nothing to say. */
export function describeProperties (properties: Readonly<Record<string, object>> = {}, meaning: (name: string) => string | undefined): Record<string, object> {
  return Object.fromEntries(Object.entries(properties).map(([name, schema]) => {
    const description = meaning(name)
    return [name, description ? { ...schema, description } : schema]
  }))
}
