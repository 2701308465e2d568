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
