import type { TSchema } from '@sinclair/typebox'
import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { type Detail, errors, type ServiceError } from '../errors.ts'
import { UUID } from '../uuid.ts'
import { IMAGE_URL } from '../schemas.ts'

// A test checks the schemas against the meta-schema. Compiling the meta-schema would slow down every start, as would
// optimizing the generated code, which makes it shorter but hardly faster.
const OPTIONS: Options = { useDefaults: true, allowUnionTypes: true, meta: false, validateSchema: false, code: { optimize: false } }

/** An Ajv with the formats, whose names callers read, and options of this project. Unknown properties pass: callers may be newer or older than this version. */
export function createAjv (options?: Options): Ajv {
  return new Ajv({ ...OPTIONS, ...options }).addFormat('uuid', UUID).addFormat('http, https or data URL', IMAGE_URL)
}

let strict: Ajv | undefined

/** Compiles the schema of JSON, which has types: the string "5" is not a number. Defaults are filled in as it validates. */
export function compileStrict<T> (schema: TSchema): ValidateFunction<T> {
  strict ??= createAjv()
  return strict.compile<T>(schema)
}

/** The error for a request that does not match its schema. @param what its part: body, querystring, message … */
export function invalid (problems: ErrorObject[], what: string): ServiceError {
  // Of the alternatives of a union the one that went furthest is what the caller meant.
  const details = describe(problems).toSorted((a, b) => depthOf(b) - depthOf(a))
  const [first] = details
  return errors.badRequest(`${first?.path || `The ${what}`} ${first?.message ?? 'is not valid'}.`).with({ details })
}

function depthOf ({ path }: Detail): number {
  return path.split('.').length
}

/** Each problem with its path: `messages.0.content must be string`. */
function describe (problems: ErrorObject[]): Detail[] {
  return problems.map(({ instancePath, params, message }) => {
    const missing = params?.missingProperty as string | undefined
    const path = [...instancePath.split('/').slice(1), ...(missing ? [missing] : [])].join('.')
    const allowed = params?.allowedValues as unknown[] | undefined
    return { path, message: missing ? 'is required' : `${message ?? 'is not valid'}${allowed ? `: ${allowed.join(', ')}` : ''}` }
  })
}
