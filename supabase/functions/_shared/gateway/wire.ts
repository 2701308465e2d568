/** An escape of JSON; with its group, half of a surrogate pair, since JSON.stringify escapes no whole one. */
const ESCAPE = /\\(?:(ud[89a-f][0-9a-f]{2})|.)/g

/**
 * The body of a request as JSON. Half of a surrogate pair, in whatever field, becomes U+FFFD: parsers of gateways refuse it,
 * or send something else on.
 */
export function toWireJson (body: object): string {
  const json = JSON.stringify(body)
  return json.includes('\\ud') ? json.replace(ESCAPE, (escape, half) => half ? '\ufffd' : escape) : json
}
