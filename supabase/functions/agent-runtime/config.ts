const DEFAULT_GATEWAY_URL = 'https://ai.gateway.lovable.dev/v1'
const DEFAULT_MODEL = 'google/gemini-2.5-flash'
/** The free plan ends a function after 150 s; what is left is for saying goodbye. */
const DEFAULT_MAX_SECONDS = 140

/** The function's environment. What is missing is missed by the requests that need it, see `required`. */
export interface Config {
  /** Supabase sets these two itself; the second may be a secret key (sb_secret_…) too. */
  readonly supabaseUrl?: string
  readonly serviceRoleKey?: string
  /** Undefined: neither a gateway nor a key of the default one is set. */
  readonly gatewayUrl?: string
  readonly gatewayKey?: string
  /** The model of agents that name none. */
  readonly model: string
  readonly backendUrl?: string
  readonly backendSecret?: string
  /** After so many milliseconds a request is handed over or ended. */
  readonly maxMs: number
}

export function readConfig (env: (name: string) => string | undefined): Config {
  const gatewayKey = env('LOVABLE_API_KEY') || undefined
  const maxSeconds = Number(env('EDGE_MAX_SECONDS'))
  return {
    supabaseUrl: toHttpUrl(env('SUPABASE_URL')),
    serviceRoleKey: env('SUPABASE_SERVICE_ROLE_KEY') || undefined,
    gatewayUrl: toHttpUrl(env('AI_GATEWAY_URL')) ?? (gatewayKey && DEFAULT_GATEWAY_URL),
    gatewayKey,
    model: env('AI_MODEL') || DEFAULT_MODEL,
    backendUrl: toHttpUrl(env('RAILWAY_BACKEND_URL')),
    backendSecret: env('RAILWAY_BACKEND_SECRET') || undefined,
    maxMs: (maxSeconds > 0 ? maxSeconds : DEFAULT_MAX_SECONDS) * 1000
  }
}

/** An address that can be asked, without a slash at its end; undefined where the text is none. */
export function toHttpUrl (text: string | null | undefined): string | undefined {
  const url = text?.trim().replace(/\/+$/, '')
  return url && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? url : undefined
}
