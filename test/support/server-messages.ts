import type { TSchema } from '@sinclair/typebox'
import type { ValidateFunction } from 'ajv'
import { createAjv } from '#shared/http/validation.ts'
import { ServerMessages } from '../../src/contract/socket-messages.js'

const ajv = createAjv()
const validators = new Map<string, ValidateFunction>()

/** @throws if a message of the server is not as the contract has it, or has a field of which the contract knows nothing. */
export function holdToContract (message: { type?: string }): void {
  const { type = '' } = message
  const schema = ServerMessages[type]
  if (!schema) throw new Error(`the contract has no message "${type}"`)
  const validate = validators.get(type) ?? ajv.compile(closed(schema))
  validators.set(type, validate)
  if (!validate(message)) throw new Error(`not as the contract has it: ${JSON.stringify(message).slice(0, 500)}: ${ajv.errorsText(validate.errors)}`)
}

/** A schema that takes no other fields. */
function closed (schema: TSchema): TSchema {
  return schema.anyOf ? { ...schema, anyOf: schema.anyOf.map(closed) } : { ...schema, additionalProperties: false }
}
