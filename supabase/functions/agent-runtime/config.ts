import { errors } from '../_shared/errors.ts'
import { DEFAULT_GATEWAY_URL, DEFAULT_MODEL } from '../_shared/gateway/defaults.ts'
import type { PrivateHost } from '../_shared/http/addresses.ts'
import { readPrivateHosts } from '../_shared/http/private-hosts.ts'

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
}

export function readConfig (env: (name: string) => string | undefined): Config {
  const gatewayKey = env('LOVABLE_API_KEY') || undefined
  const maxSeconds = Number(env('EDGE_MAX_SECONDS'))
  const maxRunSeconds = Number(env('MAX_RUN_SECONDS'))
  const firstOutputSeconds = Number(env('FIRST_OUTPUT_SECONDS') || DEFAULT_FIRST_OUTPUT_SECONDS)
  return {
    supabaseUrl: toHttpUrl(env('SUPABASE_URL')),
    serviceRoleKey: env('SUPABASE_SERVICE_ROLE_KEY') || undefined,
    gatewayUrl: toHttpUrl(env('AI_GATEWAY_URL')) ?? (gatewayKey && DEFAULT_GATEWAY_URL),
    gatewayKey,
    model: env('AI_MODEL') || DEFAULT_MODEL,
    backendUrl: toHttpUrl(env('RAILWAY_BACKEND_URL')),
    backendSecret: env('RAILWAY_BACKEND_SECRET') || undefined,
    webhookSecret: env('WEBHOOK_SECRET') || undefined,
    privateToolHosts: readPrivateHosts(env('ALLOW_PRIVATE_TOOL_HOSTS'), []),
    maxMs: (maxSeconds > 0 ? maxSeconds : DEFAULT_MAX_SECONDS) * 1000,
    maxRunMs: (maxRunSeconds > 0 ? maxRunSeconds : DEFAULT_MAX_RUN_SECONDS) * 1000,
    firstOutputMs: (firstOutputSeconds >= 0 ? firstOutputSeconds : DEFAULT_FIRST_OUTPUT_SECONDS) * 1000
  }
}

/** A value of the configuration that a request needs. @throws {ServiceError} not_configured, with the name of the variable. */
export function required<T> (value: T | undefined, variable: string): T {
  if (value === undefined) throw errors.notConfigured().with({ reason: `${variable} is not set` })
  return value
}

/** The text as an http(s) URL without a slash at its end; undefined if it is not such a URL. */
export function toHttpUrl (text: string | null | undefined): string | undefined {
  const url = text?.trim().replace(/\/+$/, '')
  return url && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? url : undefined
}
