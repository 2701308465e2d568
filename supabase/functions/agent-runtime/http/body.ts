import type { ValidateFunction } from 'ajv'
import { checkMessages } from '../../_shared/http/check-messages.ts'
import { errors } from '../../_shared/errors.ts'
import { compileStrict, invalid } from '../../_shared/http/validation.ts'
import { JsonScanner, parseJson } from '../../_shared/http/json.ts'
import { ExecuteBody } from '../../_shared/schemas.ts'

/** Large enough for images, which come as data URIs. */
const MAX_BYTES = 10 * 1024 * 1024

/** Compiled by the first request that has a body, which takes some 20 ms. */
let validate: ValidateFunction<ExecuteBody> | undefined

/** Reads the body of an execution. @throws {ServiceError} invalid_json, body_too_large, bad_request with details. */
export async function readBody (request: Request): Promise<ExecuteBody> {
  const body = parseJson(await readText(request), 'body')
  validate ??= compileStrict<ExecuteBody>(ExecuteBody)
  if (!validate(body)) throw invalid(validate.errors!, 'body')
  checkMessages(body.messages)
  return body
}

/** What the body consists of is looked at as it arrives, before anything of it is parsed. */
async function readText ({ headers, body }: Request): Promise<string> {
  const tooLarge = errors.bodyTooLarge(MAX_BYTES)
  if (Number(headers.get('content-length')) > MAX_BYTES) throw tooLarge
  const decoder = new TextDecoder()
  const scanner = new JsonScanner()
  let bytes = 0
  let text = ''
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > MAX_BYTES) throw tooLarge
    scanner.scan(chunk)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}
