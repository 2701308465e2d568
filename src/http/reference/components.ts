import type { TSchema } from '@sinclair/typebox'
import { RunEvent } from '#shared/schemas.ts'
import { nameOfShape, SHAPES } from '../../contract/shapes.js'
import { ReconnectEvent } from '../../contract/streams.js'
import { describeProperties } from './operations.js'
import { type Meanings, TEXTS } from './texts.js'

const FOLDER = '#/components/schemas/'

/** The schemas of the contract under their names, described; what one has of another is a reference. */
export function shapeComponents (): Record<string, object> {
  const shapes = Object.entries(SHAPES).map(([name, schema]) => [name, describe(schema, TEXTS.shapes[name])])
  return { ...Object.fromEntries(shapes), ...eventComponents() }
}

/** Each event of a run, all of them as one, and what ends a connection whose run goes on. */
function eventComponents (): Record<string, object> {
  const events = Object.fromEntries(RunEvent.anyOf.map(event => [event.properties.type.const, event]))
  const mapping = Object.fromEntries(Object.keys(events).map(type => [type, `${FOLDER}${componentOf(type)}`]))
  const described = Object.entries({ ...events, reconnect: ReconnectEvent }).map(([type, event]) => {
    const { summary, fields } = TEXTS.events[type]!
    return [componentOf(type), { description: summary, ...describe(event, fields) }]
  })
  return {
    ...Object.fromEntries(described),
    RunEvent: { anyOf: Object.values(mapping).map($ref => ({ $ref })), discriminator: { propertyName: 'type', mapping } }
  }
}

function componentOf (type: string): string {
  return `${pascalCase(type)}Event`
}

/** `tool_call` is `ToolCall`. */
export function pascalCase (name: string): string {
  return name.split('_').map(word => word[0]!.toUpperCase() + word.slice(1)).join('')
}

/** Puts references to the components into the place of the shapes in a document. */
export function refer (value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const name = 'properties' in value ? nameOfShape(value) : undefined
  return name === undefined ? referInside(value) : { $ref: `${FOLDER}${name}` }
}

function referInside (value: object): object {
  if (Array.isArray(value)) return value.map(refer)
  return Object.fromEntries(Object.entries(value).map(([name, inside]) => [name, refer(inside)]))
}

/** A schema with what its fields mean. */
export function describe (schema: TSchema, fields: Meanings = {}): object {
  const { properties, ...rest } = referInside(schema) as { properties: Record<string, object> }
  return { ...rest, properties: describeProperties(properties, name => fields[name]) }
}
