import type { TSchema } from '@sinclair/typebox'
import { problemOfNumber } from '#shared/environment/numbers.ts'
import { Environment } from './environment.js'

const BOOLEANS: Record<string, string> = { true: 'true', yes: 'true', on: 'true', 1: 'true', false: 'false', no: 'false', off: 'false', 0: 'false' }

/**
 * The service's variables that are set, as texts that the schema takes. Blanks around a text do not count, nor does the case
 * of a boolean or of one of a few values. Numbers that are none are left out, and their problems are added.
 */
export function readTexts (variables: NodeJS.ProcessEnv, problems: string[]): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, schema] of Object.entries<TSchema>(Environment.properties)) {
    const text = variables[name]?.trim()
    if (!text) continue
    const problem = schema.type === 'integer' || schema.type === 'number' ? problemOfNumber(name, text, schema.type) : undefined
    if (problem) problems.push(problem)
    else texts[name] = readText(text, schema)
  }
  return texts
}

function readText (text: string, { type, anyOf }: TSchema): string {
  const lower = text.toLowerCase()
  if (type === 'boolean') return BOOLEANS[lower] ?? text
  return anyOf?.some((choice: TSchema) => choice.const === lower) ? lower : text
}
