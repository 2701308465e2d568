/** How many redirects of one request are followed. */
export const MAX_REDIRECTS = 5

/**
 * Where a request is sent again that was answered with 307 or 308: to the same host, or to the same name by TLS. The request
 * has a key, which must not reach another host, nor the same one in clear.
 * @param location the header of that name.
 * @returns undefined if the redirect is not followed.
 */
export function redirectOf (from: URL, status: number, location: string | null | undefined): URL | undefined {
  if ((status !== 307 && status !== 308) || !location || !URL.canParse(location, from.href)) return undefined
  const to = new URL(location, from)
  to.hash = to.username = to.password = ''
  const isSecured = from.protocol === 'http:' && to.protocol === 'https:' && to.hostname === from.hostname
  return to.origin === from.origin || isSecured ? to : undefined
}

/** Says where a redirect leads that is not followed, without its query, which may have a token in it. */
export function sayRedirect (from: URL, status: number, location: string | null | undefined): string {
  const to = location && URL.canParse(location, from.href) ? new URL(location, from) : undefined
  return `the AI gateway answered ${status}${to ? ` and leads to ${to.origin}${to.pathname}` : ''}, which is not followed`
}
