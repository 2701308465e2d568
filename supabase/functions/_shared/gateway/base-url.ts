/** What people copy from a gateway's documentation instead of its base. */
const COMPLETIONS = /\/chat\/completions$/i

/** A gateway's base URL without slashes at its end, and whether `/chat/completions` was taken off; or what is wrong with it. */
export type BaseUrl = { url: string, isCut: boolean } | { problem: string }

/** Reads the base URL of a gateway, to which paths are appended. @param text an http(s) URL. */
export function readBaseUrl (text: string): BaseUrl {
  if (/[?#]/.test(text)) return { problem: 'must have no ? and no #: paths such as /chat/completions are put behind it' }
  const url = withoutSlashes(text)
  const base = withoutSlashes(url.replace(COMPLETIONS, ''))
  return { url: base, isCut: base !== url }
}

/** The line about a base URL from which `/chat/completions` was taken off. */
export function sayCut (url: string): string {
  return `AI_GATEWAY_URL is the base, without /chat/completions at its end: ${url} is used`
}

/** Other bases that a gateway may have which answers 404 at this one: with `/v1` or without it. */
export function otherBases (url: string): string[] {
  const { origin } = new URL(url)
  const others = /\/v\d+\w*$/.test(url) ? [url.replace(/\/v\d+\w*$/, '')] : [`${url}/v1`]
  return [...others, `${origin}/v1`, `${origin}/api/v1`].filter((other, index, all) => other !== url && all.indexOf(other) === index)
}

function withoutSlashes (url: string): string {
  let end = url.length
  while (url[end - 1] === '/') end--
  return url.slice(0, end)
}
