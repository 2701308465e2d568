import { errors, type ServiceError } from '../errors.ts'
import { toStorable } from '../text.ts'
import { sentenceOf } from '../http/html.ts'

const UNKNOWN_MODEL = /\b(unknown|invalid|no such) model\b|\bmodel\b.{0,100}\b(not found|not exist|unknown|invalid|not available)\b/i

/** Characters of a gateway's sentence: as many as are looked through for quotes, and as many as are shown. */
const MAX_TEXT = 1_000
const MAX_SHOWN = 300

/** What the body of an answer that is no completion says. */
export interface ErrorBody {
  text: string
  /** The parameter that was refused, if the body names it apart from its sentence. */
  param?: string
  /** Why, as programs read it, such as `unsupported_parameter`. */
  code?: string
}

/** A 4xx answer of the gateway to a request, with its status and sentence. */
export class Refusal extends Error {
  readonly text: string
  readonly param: string | undefined
  readonly code: string | undefined

  constructor (readonly status: number, { text, param, code }: ErrorBody) {
    super(text)
    this.text = text
    this.param = param
    this.code = code
  }

  get mayBeDialect (): boolean {
    return this.status === 400 || this.status === 422
  }

  get isUnknownModel (): boolean {
    if (this.status === 404) return true
    return this.status === 400 && (this.param === 'model' || UNKNOWN_MODEL.test(this.param === undefined ? this.text : ''))
  }

  toServiceError (): ServiceError {
    return errors.gatewayRejected().with({ reason: sayStatus(this.status, this.text), gatewayStatus: this.status })
  }
}

/**
 * The error for a gateway's answer that is not a completion.
 * @param body what its body says; the first 1,000 characters of the sentence are kept.
 * @param retryAfter seconds, if the answer has a Retry-After header.
 */
export function errorOfStatus (status: number, body: ErrorBody, retryAfter?: number): ServiceError | Refusal {
  const text = toStorable(body.text.slice(0, MAX_TEXT))
  const said = { reason: sayStatus(status, text), gatewayStatus: status }
  if (status === 429) return errors.gatewayRateLimited().with({ retryAfter, ...said })
  if (status === 402) return errors.gatewayPaymentRequired().with(said)
  if (status === 401 || status === 403) return errors.gatewayUnauthorized().with(said)
  if (status === 408 || status === 504) return errors.gatewayTimeout().with(said)
  if (status >= 400 && status < 500) return new Refusal(status, { ...body, text })
  return errors.gatewayUnavailable().with({ retryAfter, ...said })
}

function sayStatus (status: number, text: string): string {
  return `the AI gateway answered ${status}${text && `: ${text}`}`
}

/** Reads an error body: the JSON of OpenAI, Ollama, Google or FastAPI, a page of HTML, or plain text. */
export function readErrorBody (body: string): ErrorBody {
  const json = parse(body)
  // Google's is a list.
  const answer = Array.isArray(json) ? json[0] : json
  const error = answer?.error ?? answer
  const sentence = [error, error?.message, answer?.message].find(text => typeof text === 'string')
  const [param, code] = refusedParameter(error, answer)
  const text = sentence === undefined ? sentenceOf(body) : [sentence, error?.param].filter(Boolean).join(' ')
  return { text: toStorable(text.slice(0, MAX_SHOWN)), param, code }
}

function parse (body: string): any {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** The parameter that a body names in a field of its own, with a code: OpenAI's `param`, FastAPI's `loc`, Google's `fieldViolations`. */
function refusedParameter (error: any, answer: any): [param?: string, code?: string] {
  if (typeof error?.param === 'string' && error.param !== '' && error.param !== 'None') return [error.param, textOf(error.code)]
  const problems = listOf(answer?.detail ?? error?.message?.detail)
  for (const { type, loc } of problems) if (Array.isArray(loc) && loc[0] === 'body') return [loc.slice(1).join('.'), textOf(type)]
  for (const { field } of listOf(error?.details).flatMap(detail => listOf(detail.fieldViolations))) if (textOf(field)) return [field]
  return []
}

function listOf (value: unknown): any[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'object' && item !== null) : []
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
