import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isSecret } from '#shared/functions/webhook.ts'
import { isHeaderValue } from '#shared/http/header-value.ts'
import { readList } from '#shared/http/private-hosts.ts'

// A problem is a sentence that names its variable, and never contains a secret.
// The functions that take `problems` add theirs to it.

/** The problems of a Redis URL. */
export function checkRedisUrl ({ hostname, pathname }: URL): string[] {
  if (!hostname) return ['REDIS_URL must name a host: redis://<host>:<port>']
  return /^(\/\d*)?$/.test(pathname) ? [] : ['REDIS_URL must end with nothing or the number of a database, such as /1']
}

/** Reads origins separated by commas, or `*`, and removes slashes at their ends. */
export function readOrigins (list: string | undefined, problems: string[]): string[] {
  const origins = readList(list).map(withoutSlash)
  for (const origin of origins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      const meant = originMeantBy(origin)
      problems.push(`CORS_ORIGINS must be a comma-separated list of origins such as https://app.example.com, or *; "${origin}" is neither${meant ? `: write ${meant}` : ''}`)
    }
  }
  return origins
}

/** An origin has a scheme, and neither a path nor the scheme's own port. */
function originMeantBy (text: string): string | undefined {
  const url = [text, `https://${text}`].find(url => /^https?:\/\/[^*@]+$/i.test(url) && URL.canParse(url))
  return url && new URL(url).origin
}

/** Checks a secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
export function readWebhookSecret (secret: string | undefined, problems: string[]): string | undefined {
  if (secret && !isSecret(secret)) problems.push('WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64 (echo whsec_$(openssl rand -base64 32))')
  return secret
}

/** The shortest secret, in characters; those of `openssl rand -hex 32` have 64. */
const MIN_SECRET = 32
/** The fewest different characters of a secret; 32 random hexadecimal digits have about 14. */
const MIN_DIFFERENT = 8
/** What examples and templates say where a secret belongs, the published secret of a local Supabase among them. */
const PLACEHOLDER = /…|\.\.\.|<.*>|change[-_ ]?(me|this)|(^|[^a-z0-9])your[-_ ]|placeholder|example|replace[-_ ]|super-secret-jwt-token/i
/** How an operator makes a secret, by a program or with Node alone. */
export const MAKE_SECRET = 'make one with openssl rand -hex 32, or with node -p "crypto.randomBytes(32).toString(\'hex\')"'

/**
 * Checks that a secret which the operator has chosen, if there is one, cannot be guessed.
 * @param advice how to get a better one.
 */
export function checkSecret (name: string, value: string | undefined, advice: string, problems: string[]): void {
  if (!value) return
  const fault = PLACEHOLDER.test(value)
    ? 'is a placeholder'
    : value.length < MIN_SECRET
      ? `has fewer than ${MIN_SECRET} characters`
      : new Set(value).size < MIN_DIFFERENT || isRepetition(value) ? 'repeats itself' : undefined
  if (fault) problems.push(`${name} ${fault} and can be guessed: ${advice}`)
}

/** Checks that a key which somebody else has issued, if there is one, is none that stands in an example. */
export function checkIssuedKey (name: string, value: string | undefined, problems: string[]): void {
  if (value && PLACEHOLDER.test(value)) problems.push(`${name} is a placeholder: set the key that was issued to you`)
}

/** Whether a text is one part of it, again and again; the last may be cut off. */
function isRepetition (text: string): boolean {
  for (let length = 1; length <= text.length / 2; length++) {
    if (text.slice(length) === text.slice(0, -length)) return true
  }
  return false
}

/** Checks that a value, if there is one, is valid in a header; a key with a line break is not. */
export function checkHeaderValue (name: string, value: string | undefined, problems: string[]): void {
  if (value && !isHeaderValue(value)) problems.push(`${name} must be one line of ASCII: it is sent in a header`)
}

/** Checks that a value, if there is one, has no line break within: it was pasted with one. */
export function checkOneLine (name: string, value: string | undefined, problems: string[]): void {
  if (value && /[\r\n]/.test(value)) problems.push(`${name} must be one line`)
}

/** Reads a certificate in PEM from the value itself, whose line breaks may be written as \\n, or from the file that it names. */
export function readCertificate (name: string, value: string | undefined, problems: string[]): string | undefined {
  if (!value) return undefined
  try {
    const pem = value.startsWith('-----BEGIN') ? value.replaceAll('\\n', '\n') : readFileSync(value, 'utf8')
    return new X509Certificate(pem) && pem
  } catch (error) {
    const { syscall, code } = error as NodeJS.ErrnoException
    problems.push(syscall ? `${name} names a file that cannot be read (${code})` : `${name} must be a CA certificate in PEM, or the path of one`)
  }
}

export function withoutSlash (url: string): string {
  return url.replace(/\/+$/, '')
}

/** The commit that runs; what is none is left out, since nothing depends on it. */
export function readCommit (text: string | undefined): string | undefined {
  return text && /^[0-9a-f]{7,64}$/i.test(text) ? text.toLowerCase() : undefined
}
