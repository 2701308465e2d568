import { problemOfHttpUrl } from '../environment/urls.ts'
import { isHeaderName, isHeaderValue } from '../http/header-value.ts'
import type { SamplerName } from './sampler.ts'

/** The variables of OpenTelemetry that are read here, once their types are known to be right. */
export interface TraceVariables {
  readonly OTEL_EXPORTER_OTLP_ENDPOINT?: string
  readonly OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?: string
  readonly OTEL_EXPORTER_OTLP_PROTOCOL?: string
  readonly OTEL_EXPORTER_OTLP_HEADERS?: string
  readonly OTEL_EXPORTER_OTLP_TIMEOUT: number
  readonly OTEL_SERVICE_NAME?: string
  readonly OTEL_RESOURCE_ATTRIBUTES?: string
  readonly OTEL_TRACES_SAMPLER: string
  readonly OTEL_TRACES_SAMPLER_ARG: number
  readonly OTEL_SDK_DISABLED: boolean
  readonly OTEL_CAPTURE_CONTENT: boolean
}

/** Where spans go, and which. */
export interface TraceSettings {
  readonly url: string
  /** They may hold a secret. */
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /** What all spans of this process have in common. */
  readonly resource: Readonly<Record<string, string>>
  readonly sampler: SamplerName
  readonly ratio: number
  /** Whether spans have texts of users, authors and models. */
  readonly hasContent: boolean
}

const PATH = '/v1/traces'
const PROTOCOL = 'http/json'
/** What a request of spans has by itself. */
const OWN_HEADERS = new Set(['content-type', 'content-length', 'host', 'connection', 'transfer-encoding', 'expect', 'upgrade', 'keep-alive'])
const MAX_PAIRS = 64

/**
 * Reads where spans are sent, and which.
 * @param serviceName what the program is called unless the variables say otherwise.
 * @param problems receives a sentence for each variable that cannot be used; no sentence has a header's value.
 * @returns undefined if no collector is named, tracing is disabled, or there is a problem.
 */
export function readTraceSettings (env: TraceVariables, serviceName: string, problems: string[]): TraceSettings | undefined {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole, OTEL_EXPORTER_OTLP_PROTOCOL: protocol = PROTOCOL } = env
  if (env.OTEL_SDK_DISABLED || !(base || whole)) return undefined
  const own: string[] = []
  if (protocol !== PROTOCOL) own.push(`OTEL_EXPORTER_OTLP_PROTOCOL must be ${PROTOCOL}, or not set: that is how spans are sent, and collectors take it where they take http/protobuf`)
  const url = readEndpoint(env, own)
  const headers = readHeaders(env.OTEL_EXPORTER_OTLP_HEADERS, own)
  const resource = readPairs('OTEL_RESOURCE_ATTRIBUTES', env.OTEL_RESOURCE_ATTRIBUTES, own)
  problems.push(...own)
  if (url === undefined || own.length > 0) return undefined
  return {
    url,
    headers,
    timeoutMs: env.OTEL_EXPORTER_OTLP_TIMEOUT,
    resource: { 'service.name': serviceName, ...resource, ...(env.OTEL_SERVICE_NAME ? { 'service.name': env.OTEL_SERVICE_NAME } : {}) },
    sampler: env.OTEL_TRACES_SAMPLER as SamplerName,
    ratio: env.OTEL_TRACES_SAMPLER_ARG,
    hasContent: env.OTEL_CAPTURE_CONTENT
  }
}

/** The one for traces is used as it is; to the one for all signals the path of traces is added. */
function readEndpoint ({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole, OTEL_EXPORTER_OTLP_ENDPOINT: base }: TraceVariables, problems: string[]): string | undefined {
  const [name, text] = whole ? ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', whole] : ['OTEL_EXPORTER_OTLP_ENDPOINT', base]
  if (!text) return undefined
  const problem = problemOfHttpUrl(name!, text) ?? problemOfUser(name!, text)
  if (problem) problems.push(problem)
  if (problem) return undefined
  const url = new URL(text)
  if (!whole) url.pathname = url.pathname.replace(/\/*$/, PATH)
  return url.href
}

function problemOfUser (name: string, text: string): string | undefined {
  const { username, password } = new URL(text)
  return username || password ? `${name} must have no user name or password in it: send them by OTEL_EXPORTER_OTLP_HEADERS` : undefined
}

function readHeaders (text: string | undefined, problems: string[]): Record<string, string> {
  const name = 'OTEL_EXPORTER_OTLP_HEADERS'
  const pairs = readPairs(name, text, problems)
  for (const [header, value] of Object.entries(pairs)) {
    if (!isHeaderName(header) || !isHeaderValue(value)) problems.push(`${name} has a header that cannot be sent: names are letters and dashes, values one line of ASCII`)
    else if (OWN_HEADERS.has(header.toLowerCase())) problems.push(`${name} must not have ${header.toLowerCase()}, which each request has by itself`)
  }
  return pairs
}

/** `name=value,name=value`, in which `%2C` is a comma. */
function readPairs (variable: string, text: string | undefined, problems: string[]): Record<string, string> {
  if (!text) return {}
  const pairs = text.split(',').map(pair => pair.trim()).filter(pair => pair !== '').map(readPair)
  const read = pairs.filter(pair => pair !== undefined)
  if (read.length === pairs.length && read.length <= MAX_PAIRS) return Object.fromEntries(read)
  problems.push(`${variable} must be pairs of name=value, separated by commas, ${MAX_PAIRS} at the most; a comma in a value is %2C`)
  return {}
}

function readPair (pair: string): [string, string] | undefined {
  const at = pair.indexOf('=')
  if (at < 1) return undefined
  try {
    return [decodeURIComponent(pair.slice(0, at).trim()), decodeURIComponent(pair.slice(at + 1).trim())]
  } catch {
    return undefined
  }
}
