import { Ajv, type ErrorObject } from 'ajv'
import type { TSchema } from '@sinclair/typebox'
import { UsageError } from './subcommands.js'

/** Characters of a value in a table. */
const MAX_CELL = 60

/** Rows as aligned columns, each with its head; or a sentence if there are none. */
export function tableOf (rows: Array<Record<string, unknown>>, none: string): string {
  if (rows.length === 0) return none
  const heads = Object.keys(rows[0]!)
  const lines = [heads, ...rows.map(row => heads.map(head => cell(row[head])))]
  const widths = heads.map((_, column) => Math.max(...lines.map(line => line[column]!.length)))
  return lines.map(line => line.map((text, column) => text.padEnd(widths[column]!)).join('  ').trimEnd()).join('\n')
}

/** An object as a line for each property that is set; texts as they are. */
export function linesOf (object: Record<string, unknown>): string {
  const set = Object.entries(object).filter(([, value]) => value !== null && value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0))
  const width = Math.max(...set.map(([name]) => name.length))
  return set.map(([name, value]) => `${name.padEnd(width)}  ${typeof value === 'object' ? JSON.stringify(value) : printable(String(value))}`).join('\n')
}

/** A text for a terminal: without the control characters by which it could rule the terminal; lines stay. */
export function printable (text: string): string {
  return text.replace(/[^\P{Cc}\t\n]/gu, '')
}

function cell (value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = printable(typeof value === 'string' ? value : JSON.stringify(value)).replace(/\s+/g, ' ')
  return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 1)}…` : text
}

const ajv = new Ajv({ allErrors: false, meta: false, validateSchema: false, strict: false }).addFormat('uuid', /^[0-9a-fA-F-]{36}$/)

/** Checks what is to be sent before it is, as the API does. @throws {UsageError} that names the field. */
export function check (schema: TSchema, value: unknown): void {
  const fits = ajv.compile(schema as object)
  if (!fits(value)) throw new UsageError(describe(fits.errors!.find(({ keyword }) => keyword !== 'const') ?? fits.errors![0]!))
}

function describe ({ instancePath, keyword, message, params }: ErrorObject): string {
  const name = instancePath.slice(1).replaceAll('/', '.')
  if (keyword === 'additionalProperties') return `${name ? `${name} has` : 'There is'} no field "${params.additionalProperty}"`
  if (keyword === 'pattern') return `${name} ${params.pattern === '\\S' ? 'must not be blank' : 'must be package.module:function'}`
  if (keyword === 'minProperties') return 'Nothing is to be changed'
  return [name, message].filter(Boolean).join(' ')
}
