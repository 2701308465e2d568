import type { TSchema } from '@sinclair/typebox'
import { nameOfShape } from '../../src/contract/shapes.js'
import type { Table } from './markdown.js'

/** A schema in the words of the documents, such as `integer, 1 to 100, default 20`. */
export function wordsOf (schema: TSchema): string {
  const { default: value } = schema
  return `${nameOfShape(schema) ?? typeWords(schema)}${value === undefined ? '' : `, default ${value}`}`
}

function typeWords (schema: TSchema): string {
  if (schema.content) return Object.entries<{ schema: TSchema }>(schema.content).map(answerWords).join(' or ')
  if (schema.anyOf) return schema.anyOf.map(wordsOf).join(' or ')
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value: string) => JSON.stringify(value)).join(' or ')
  switch (schema.type) {
    case 'string': return schema.format ?? `string${boundsOf(schema.minLength, schema.maxLength, ' characters')}`
    case 'integer':
    case 'number': return `${schema.type}${boundsOf(schema.minimum, schema.maximum)}`
    case 'array': return `${itemWords(schema.items)}[]${boundsOf(schema.minItems, schema.maxItems, '')}`
    case 'object': return Object.keys(schema.properties ?? {}).length === 0 ? 'object' : `{ ${fieldsOf(schema).map(([name, type]) => `${name}: ${type}`).join(', ')} }`
    default: return schema.type ?? 'any'
  }
}

function answerWords ([type, { schema }]: [string, { schema: TSchema }]): string {
  return type === 'text/event-stream' ? 'an event stream' : wordsOf(schema)
}

function itemWords (schema: TSchema): string {
  return schema.anyOf || schema.enum ? `(${wordsOf(schema)})` : wordsOf(schema)
}

/** @param unit what is counted; a length of at least 1 is called not empty. */
function boundsOf (least?: number, most?: number, unit?: string): string {
  if (least === undefined && most === undefined) return ''
  if (least === 1 && most === undefined && unit !== undefined) return ' (not empty)'
  if (most === undefined) return ` (at least ${least}${unit ?? ''})`
  return least === undefined ? ` (at most ${most}${unit ?? ''})` : ` (${least} to ${most}${unit ?? ''})`
}

/** The fields of an object, in its order, with their types in words; an optional one ends with `?`. */
export function fieldsOf ({ properties, required = [] }: TSchema): Array<[string, string]> {
  return Object.entries<TSchema>(properties).map(([name, schema]) => [required.includes(name) && schema.default === undefined ? name : `${name}?`, wordsOf(schema)])
}

/** The first two columns of a table of fields, as `fieldsOf` gives them. */
export function documentedFields ({ rows }: Table): Array<[string, string]> {
  return rows.map(([name, type]) => [name!, type!])
}
