import type { Environment } from './environment.js'
import { problemOfAnonKey } from './supabase.js'
import { checkIssuedKey, checkOneLine, checkSecret, MAKE_SECRET } from './values.js'

const REMOVE_SECRET = 'remove it as soon as nobody has it any more'

/**
 * Finds what is wrong with the secrets of an environment, in sentences that do not have them.
 * @param production what is good enough to try things with is not for production.
 * @param problems receives the sentences.
 */
export function checkSecrets (env: Environment, production: boolean, problems: string[]): void {
  checkForm(env, problems)
  if (!production) return
  checkSecret('RAILWAY_BACKEND_SECRET', env.RAILWAY_BACKEND_SECRET, MAKE_SECRET, problems)
  checkSecret('RAILWAY_BACKEND_SECRET_PREVIOUS', env.RAILWAY_BACKEND_SECRET_PREVIOUS, REMOVE_SECRET, problems)
  checkSecret('SUPABASE_JWT_SECRET', env.SUPABASE_JWT_SECRET, `copy your project's from its dashboard, under JWT Keys; if it has none, ${MAKE_SECRET}`, problems)
  checkSecret('SUPABASE_JWT_SECRET_PREVIOUS', env.SUPABASE_JWT_SECRET_PREVIOUS, REMOVE_SECRET, problems)
  checkSecret('METRICS_TOKEN', env.METRICS_TOKEN, MAKE_SECRET, problems)
  checkSecret('WEBHOOK_SECRET', env.WEBHOOK_SECRET?.replace(/^whsec_/, ''), 'make one with echo whsec_$(openssl rand -base64 32)', problems)
  checkIssuedKey('SUPABASE_SERVICE_ROLE_KEY', env.SUPABASE_SERVICE_ROLE_KEY, problems)
  checkIssuedKey('LOVABLE_API_KEY', env.LOVABLE_API_KEY, problems)
}

/** Each is on one line; and an old one has a new one beside it, or it would be the only one. */
function checkForm (env: Environment, problems: string[]): void {
  checkOneLine('METRICS_TOKEN', env.METRICS_TOKEN, problems)
  for (const name of ['RAILWAY_BACKEND_SECRET', 'SUPABASE_JWT_SECRET'] as const) {
    const previous = `${name}_PREVIOUS` as const
    checkOneLine(name, env[name], problems)
    checkOneLine(previous, env[previous], problems)
    if (env[previous] && !env[name]) problems.push(`${previous} is set without ${name}: set that to the new secret`)
  }
}

/** Every page of the console shows it: a key that may do all would be anybody's. */
export function readAnonKey ({ SUPABASE_ANON_KEY: key }: Environment, problems: string[]): string | undefined {
  const problem = key && problemOfAnonKey(key)
  if (problem) problems.push(problem)
  return key
}
