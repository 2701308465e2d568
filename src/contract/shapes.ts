import type { TSchema } from '@sinclair/typebox'
import * as shared from '#shared/schemas.ts'
import * as agents from './agents.js'
import * as agUi from './ag-ui/schemas.js'
import * as keys from './api-keys.js'
import * as mcp from './mcp/schemas.js'
import * as openai from './openai-schemas.js'
import * as responses from './responses-schemas.js'
import * as rows from './rows.js'
import * as own from './schemas.js'
import * as ui from './ui-schemas.js'

const exported = Object.entries<unknown>({ ...shared, ...own, ...rows, ...agents, ...keys, ...mcp, ...openai, ...responses, ...ui, ...agUi })

/** The schemas of the contract that are objects, by the names that documents use for them. */
export const SHAPES: Readonly<Record<string, TSchema>> = Object.fromEntries(
  exported.filter((entry): entry is [string, TSchema] => isObject(entry[1]) && !entry[0].endsWith('Headers')))

// By their text: an optional one is a copy.
const NAMES = new Map(Object.entries(SHAPES).map(([name, schema]) => [JSON.stringify(schema), name]))

/** The name of a shape; undefined if the schema is none. */
export function nameOfShape (schema: object): string | undefined {
  return NAMES.get(JSON.stringify(schema))
}

function isObject (schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && 'properties' in schema
}
