import { problemOfNumber } from '../_shared/environment/numbers.ts'
import { problemOfHttpUrl } from '../_shared/environment/urls.ts'
import { errors } from '../_shared/errors.ts'
import { readBaseUrl, sayCut } from '../_shared/gateway/base-url.ts'
import { DEFAULT_GATEWAY_URL, DEFAULT_MODEL } from '../_shared/gateway/defaults.ts'
import type { PrivateHost } from '../_shared/http/addresses.ts'
import { isHeaderValue } from '../_shared/http/header-value.ts'
import { readPrivateHosts } from '../_shared/http/private-hosts.ts'
import type { TraceSettings } from '../_shared/traces/settings.ts'
import { readTraceTexts } from '../_shared/traces/trace-texts.ts'

/** The free plan ends a function after 150 s; the rest is for settling the run and ending the stream. */
const DEFAULT_MAX_SECONDS = 140
const DEFAULT_MAX_RUN_SECONDS = 86_400
const DEFAULT_FIRST_OUTPUT_SECONDS = 10

/** The function's environment. A missing variable fails only the requests that need it, see `required`. */
export interface Config {
  /** Supabase sets these two itself; the second may also be a secret key (sb_secret_…). */
  readonly supabaseUrl?: string
  readonly serviceRoleKey?: string
  /** Undefined if neither a gateway nor a key of the default one is set. */
  readonly gatewayUrl?: string
  readonly gatewayKey?: string
  /** The model of agents that name none. */
  readonly model: string
  readonly backendUrl?: string
  readonly backendSecret?: string
  /** Signs webhooks of functions that have no secret of their own. */
  readonly webhookSecret?: string
  /** Hosts to which webhooks may go although they are not public. */
  readonly privateToolHosts: readonly PrivateHost[]
  /** Milliseconds after which a request is handed over or ended. */
  readonly maxMs: number
  /** Milliseconds that a run may last. */
  readonly maxRunMs: number
  /** How long the head of a plain reader's stream waits for the first output, in milliseconds. */
  readonly firstOutputMs: number
  /** Undefined where nothing is traced. */
  readonly traces?: TraceSettings
  /** What is wrong with variables that are set, a sentence each; those that cannot be used count as not set. */
  readonly problems: readonly string[]
}

export function readConfig (env: (name: string) => string | undefined): Config {
  const problems: string[] = []
  const read = (name: string) => env(name)?.trim() || undefined
  const gatewayKey = readHeaderValue('LOVABLE_API_KEY')
  return {
    supabaseUrl: readUrl('SUPABASE_URL'),
    serviceRoleKey: readHeaderValue('SUPABASE_SERVICE_ROLE_KEY'),
    gatewayUrl: read('AI_GATEWAY_URL') ? readGateway() : gatewayKey && DEFAULT_GATEWAY_URL,
    gatewayKey,
    model: read('AI_MODEL') ?? DEFAULT_MODEL,
    backendUrl: readUrl('RAILWAY_BACKEND_URL'),
    backendSecret: readHeaderValue('RAILWAY_BACKEND_SECRET'),
    webhookSecret: read('WEBHOOK_SECRET'),
    privateToolHosts: readPrivateHosts(read('ALLOW_PRIVATE_TOOL_HOSTS'), problems),
    maxMs: readMs('EDGE_MAX_SECONDS', DEFAULT_MAX_SECONDS),
    maxRunMs: readMs('MAX_RUN_SECONDS', DEFAULT_MAX_RUN_SECONDS),
    firstOutputMs: readMs('FIRST_OUTPUT_SECONDS', DEFAULT_FIRST_OUTPUT_SECONDS, { mayBeZero: true }),
    traces: readTraceTexts(read, 'agent-runtime', problems),
    problems
  }

  function readUrl (name: string): string | undefined {
    const text = read(name)
    const problem = text && problemOfHttpUrl(name, text)
    if (problem) problems.push(problem)
    return toHttpUrl(text)
  }

  function readHeaderValue (name: string): string | undefined {
    const value = read(name)
    if (value === undefined || isHeaderValue(value)) return value
    problems.push(`${name} must be one line of ASCII: it is sent in a header`)
  }

  /** Without a usable base URL no other gateway is asked instead. */
  function readGateway (): string | undefined {
    const url = readUrl('AI_GATEWAY_URL')
    const base = url === undefined ? undefined : readBaseUrl(url)
    if (base === undefined) return undefined
    if ('problem' in base) {
      problems.push(`AI_GATEWAY_URL ${base.problem}`)
      return undefined
    }
    if (base.isCut) problems.push(sayCut(base.url))
    return base.url
  }

  function readMs (name: string, fallback: number, { mayBeZero = false } = {}): number {
    const text = read(name) ?? String(fallback)
    const seconds = Number(text)
    const isInRange = seconds > 0 || (mayBeZero && seconds === 0)
    const problem = problemOfNumber(name, text, 'number') ?? (isInRange ? undefined : `${name} must be ${mayBeZero ? 'at least' : 'more than'} 0`)
    if (problem === undefined) return seconds * 1000
    problems.push(`${problem}; until then it is ${fallback}`)
    return fallback * 1000
  }
}

/** A value of the configuration that a request needs. @throws {ServiceError} not_configured, with the name of the variable. */
export function required<T> (value: T | undefined, variable: string, { problems }: Pick<Config, 'problems'>): T {
  if (value === undefined) throw errors.notConfigured().with({ reason: reasonOfMissing(variable, problems) })
  return value
}

/** Why there is no value of a variable that a request needs. */
export function reasonOfMissing (variable: string, problems: readonly string[]): string {
  return problems.find(problem => problem.startsWith(`${variable} `)) ?? `${variable} is not set`
}

/** The text as an http(s) URL without a slash at its end; undefined if it is not such a URL. */
export function toHttpUrl (text: string | null | undefined): string | undefined {
  const url = text?.trim().replace(/\/+$/, '')
  return url && /^https?:\/\//i.test(url) && URL.canParse(url) ? url : undefined
}
