import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isSecret } from '#shared/functions/webhook.ts'
import { readList } from '#shared/http/private-hosts.ts'

// A problem is a sentence that names its variable, and never contains a secret.
// The functions that take `problems` add theirs to it.

/** The problems of a Redis URL. */
export function checkRedisUrl ({ hostname, pathname, username, password }: URL): string[] {
  if (!hostname) return ['REDIS_URL must name a host: redis://<host>:<port>']
  if (!/^(\/\d*)?$/.test(pathname)) return ['REDIS_URL must end with nothing or the number of a database, such as /1']
  try {
    decodeURIComponent(username + password)
    return []
  } catch {
    return ['REDIS_URL has a literal % in its user or password: write it as %25']
  }
}

/** Reads origins separated by commas, or `*`, and removes slashes at their ends. */
export function readOrigins (list: string | undefined, problems: string[]): string[] {
  const origins = readList(list).map(withoutSlash)
  for (const origin of origins) {
    if (origin !== '*' && (!URL.canParse(origin) || new URL(origin).origin !== origin)) {
      problems.push(`CORS_ORIGINS must be a comma-separated list of origins such as https://app.example.com, or *; "${origin}" is neither`)
    }
  }
  return origins
}

/** Checks a secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
export function readWebhookSecret (secret: string | undefined, problems: string[]): string | undefined {
  if (secret && !isSecret(secret)) problems.push('WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64 (echo whsec_$(openssl rand -base64 32))')
  return secret
}

/** Checks that a value, if there is one, is a URL of one of these protocols, such as `https:`. */
export function checkUrl (name: string, value: string | undefined, protocols: string[], problems: string[]): void {
  if (value && !(URL.canParse(value) && protocols.includes(new URL(value).protocol))) {
    problems.push(`${name} must be a URL that begins with ${protocols.map(protocol => `${protocol}//`).join(' or ')}`)
  }
}

/** Checks that a value, if there is one, is valid in a header; a key with a line break is not. */
export function checkHeaderValue (name: string, value: string | undefined, problems: string[]): void {
  if (value && /[^ -~]/.test(value)) problems.push(`${name} must be one line of ASCII: it is sent in a header`)
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
