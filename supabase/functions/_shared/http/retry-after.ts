/**
 * Reads a Retry-After header (RFC 9110, 10.2.3): a number of seconds or a date. Fractions are accepted, as some gateways
 * send them.
 * @returns seconds, at least 0; undefined if the header is empty or neither of the two.
 */
export function parseRetryAfter (value: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value)
  const seconds = (Date.parse(value) - Date.now()) / 1000
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds)
}

/**
 * How long a gateway asks to wait, in seconds: by `Retry-After-Ms`, milliseconds, which is more exact, or by `Retry-After`.
 * @param header the value of a header, if there is one.
 */
export function readRetryAfter (header: (name: string) => string | null | undefined): number | undefined {
  const ms = header('retry-after-ms') ?? ''
  return /^\d+(\.\d+)?$/.test(ms) ? Number(ms) / 1000 : parseRetryAfter(header('retry-after') ?? '')
}
