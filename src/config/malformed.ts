import type { ErrorObject } from 'ajv'
import { Environment } from './environment.js'

/** Says what is malformed, a sentence each: the variable's name, and what it must be. */
export function describeErrors (errors: ErrorObject[]): string[] {
  const lines = errors
    .filter(error => error.keyword !== 'const')
    .map(({ instancePath, keyword, message }) => {
      const name = instancePath.slice(1)
      if (keyword === 'anyOf') return `${name} must be one of ${literalsOf(name)}`
      return `${name} ${message}${message === 'must be boolean' ? ': write true or false' : ''}`
    })
  return [...new Set(lines)]
}

/** The values of a variable that has a few. */
function literalsOf (name: string): string {
  const { anyOf } = Environment.properties[name as 'LOG_LEVEL' | 'SCHEDULES'] as unknown as { anyOf: Array<{ const: string }> }
  return anyOf.map(literal => literal.const).join(', ')
}
