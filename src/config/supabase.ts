import { createHmac, timingSafeEqual } from 'node:crypto'
import { problemOfHttpUrl } from '#shared/environment/urls.ts'
import { readClaims } from '#shared/http/visitor-token.ts'

/** What is pasted in the place of a service role key, by how it begins. */
const OTHERS: ReadonlyArray<[RegExp, string]> = [
  [/^sb_publishable_/, 'a publishable key'],
  [/^sbp_/, 'a token of an account'],
  [/^(https?|postgres(ql)?):/, 'a URL']
]
const SET_KEY = 'set the service role key, or a secret key (sb_secret_…), of the project at SUPABASE_URL'
const SET_SECRET = 'copy the legacy JWT secret of the same project from its dashboard, under JWT Keys'
/** The host of a project at Supabase. */
const PROJECT_HOST = /^https?:\/\/([a-z\d]{20})\.supabase\.(?:co|in)/i
/** What clients put behind a project's URL by themselves. */
const SERVICE_PATH = /\/(rest|auth|storage|functions|realtime|graphql)\/v1(\/.*)?$/

/** Finds what is wrong with the URL of a project. Returns a sentence; undefined if nothing is. */
export function problemOfProjectUrl (text: string): string | undefined {
  const problem = problemOfHttpUrl('SUPABASE_URL', text)
  if (problem) return /^postgres/i.test(text) ? `${problem}; a Postgres URL belongs in SUPABASE_DB_URL` : problem
  const [, ref] = /^https?:\/\/(?:www\.|app\.)?supabase\.(?:com|io)\/.*project\/(\w+)/i.exec(text) ?? []
  if (ref) return `SUPABASE_URL is the address of the dashboard: write https://${ref}.supabase.co`
  const { origin, pathname } = new URL(text)
  if (SERVICE_PATH.test(pathname)) return `SUPABASE_URL must be the project's URL alone: write ${origin}${pathname.replace(SERVICE_PATH, '')}`
  return /[?#]/.test(text) ? 'SUPABASE_URL must be the project\'s URL alone: remove what begins with ? or #' : undefined
}

/**
 * Finds what shows already that a key is not the service role key of a project. Returns a sentence without the key;
 * undefined if nothing does.
 * @param url of the project.
 */
export function problemOfServiceKey (key: string, url: string, jwtSecret?: string): string | undefined {
  const what = OTHERS.find(([looks]) => looks.test(key))?.[1] ?? (key === jwtSecret ? 'the JWT secret' : whatTokenIs(key, url))
  return what && `SUPABASE_SERVICE_ROLE_KEY is ${what}: ${SET_KEY}`
}

/** Finds what shows that a key is not for pages. Returns a sentence without the key; undefined if nothing does. */
export function problemOfAnonKey (key: string): string | undefined {
  const role = readToken(key)?.claims.role
  const what = key.startsWith('sb_secret_') ? 'a secret key' : key.startsWith('sbp_') ? 'a token of an account' : role !== undefined && role !== 'anon' ? `a key of the role ${String(role).slice(0, 30)}` : undefined
  return what && `SUPABASE_ANON_KEY is ${what}, and pages show it to everybody: set the anon key, or a publishable key (sb_publishable_…)`
}

/** A legacy key is a token that names its role and its project. */
function whatTokenIs (key: string, url: string): string | undefined {
  const { role, ref, exp } = readToken(key)?.claims ?? {}
  const [, project] = PROJECT_HOST.exec(url) ?? []
  if (typeof role === 'string' && role !== 'service_role') return `a key of the role ${role.slice(0, 30)}`
  if (typeof ref === 'string' && project && ref !== project.toLowerCase()) return `the key of another project (${ref.slice(0, 30)})`
  return typeof exp === 'number' && exp * 1000 <= Date.now() ? 'a key that has expired' : undefined
}

/**
 * Finds what shows already that a secret does not sign a project's tokens. Returns a sentence without the secret; undefined
 * if nothing does.
 * @param serviceKey which the secret has signed, if it is a legacy key.
 */
export function problemOfJwtSecret (secret: string, serviceKey?: string): string | undefined {
  if (readToken(secret) || /^sb(p|_[a-z]+)_/.test(secret)) return `SUPABASE_JWT_SECRET is a key: ${SET_SECRET}`
  const token = serviceKey && readToken(serviceKey)
  if (!token || token.algorithm !== 'HS256' || token.isSignedWith(secret)) return undefined
  return `SUPABASE_JWT_SECRET does not verify SUPABASE_SERVICE_ROLE_KEY, which it has to have signed: ${SET_SECRET}`
}

function readToken (text: string) {
  const [, header = '', payload = '', signature = ''] = /^(eyJ[\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(text) ?? []
  const claims = readClaims(text)
  if (!signature || !claims) return undefined
  return {
    claims,
    algorithm: readClaims(`.${header}`)?.alg,
    isSignedWith (secret: string): boolean {
      const own = createHmac('sha256', secret).update(`${header}.${payload}`).digest()
      const given = Buffer.from(signature, 'base64url')
      return own.length === given.length && timingSafeEqual(own, given)
    }
  }
}
