import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** A host that tools may connect to although it is not public: a host name, an address or a range of addresses, on one port or on all. */
export interface PrivateHost { readonly host: string, readonly bits?: number, readonly port?: number }

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

/** Reads hosts separated by commas. */
export function readPrivateHosts (list: string | undefined, problems: string[]): PrivateHost[] {
  return readList(list).flatMap(item => {
    const host = readPrivateHost(item)
    if (!host) problems.push(`ALLOW_PRIVATE_TOOL_HOSTS must be a comma-separated list of host names, addresses or CIDRs, each with or without :port; "${item}" is none`)
    return host ?? []
  })
}

/** Reads `name`, `10.0.0.1`, `10.0.0.0/8`, `fd00::1` or `[fd00::/8]`, each with or without `:port`, except for a bare IPv6 address. */
function readPrivateHost (item: string): PrivateHost | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(item) ?? []
  const place = (bracketed ?? plain ?? item).toLowerCase()
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65535)) return undefined
  const [address = '', bits, ...more] = place.split('/')
  const family = isIP(address)
  if (more.length > 0 || (bracketed && family !== 6)) return undefined
  if (family && bits !== undefined) return ipaddr.isValidCIDR(place) ? { host: address, bits: Number(bits), port } : undefined
  if (family) return { host: address, port }
  // A name whose last label is a number would be resolved as an IPv4 address in another notation.
  const isName = bits === undefined && /^[a-z\d_](?:[a-z\d._-]*[a-z\d_])?$/.test(address) && !/(?:^|\.)(?:\d+|0x[\da-f]*)$/.test(address)
  return isName ? { host: address, port } : undefined
}

/** Checks a secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
export function readWebhookSecret (secret: string | undefined, problems: string[]): string | undefined {
  const [, base64] = /^whsec_([A-Za-z\d+/]+={0,2})$/.exec(secret ?? '') ?? []
  const bytes = Buffer.from(base64 ?? '', 'base64').length
  if (secret && (bytes < 24 || bytes > 64)) {
    problems.push('WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64 (echo whsec_$(openssl rand -base64 32))')
  }
  return secret
}

/** Splits at commas, trims the items and drops empty ones. */
export function readList (list = ''): string[] {
  return list.split(',').map(item => item.trim()).filter(Boolean)
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
