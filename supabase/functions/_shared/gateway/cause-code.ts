/** How Deno words what has a code elsewhere. */
const WORDED: Array<[pattern: RegExp, code: string]> = [
  [/dns error|failed to lookup/i, 'ENOTFOUND'],
  [/connection refused/i, 'ECONNREFUSED'],
  [/connection reset/i, 'ECONNRESET'],
  [/expired/i, 'CERT_HAS_EXPIRED'],
  [/certificate|UnknownIssuer/i, 'CERT_INVALID'],
  [/timed out/i, 'ETIMEDOUT']
]
/** Causes that are looked at. */
const MAX_DEPTH = 5

/** The code of what is behind an error, such as ENOTFOUND, ECONNREFUSED or CERT_HAS_EXPIRED; undefined if there is none. */
export function causeCodeOf (error: unknown, depth = MAX_DEPTH): string | undefined {
  if (!(error instanceof Error) || depth === 0) return undefined
  const { cause, code, errors } = error as Error & { code?: unknown, errors?: unknown[] }
  // A ServiceError's code is its own; those of systems and libraries are upper case.
  if (typeof code === 'string' && /^[A-Z][A-Z\d_]+$/.test(code)) return code
  return causeCodeOf(cause, depth - 1) ?? causeCodeOf(errors?.[0], depth - 1) ?? WORDED.find(([pattern]) => cause === undefined && pattern.test(error.message))?.[1]
}
