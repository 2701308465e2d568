import type { Dispatcher } from 'undici'
import { ToolError } from '../tool.js'
import { checkHeaders, withoutSecrets } from './headers.js'

/** One request of a chain of redirects. */
export interface Hop { url: URL, method: string, headers: Record<string, string>, body?: string }

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Checks the first request of a chain. @throws {ToolError} if tools may not send it. */
export function firstHop ({ url, method = 'GET', headers = {}, body }: { url: string, method?: string, headers?: Record<string, string>, body?: string }): Hop {
  const upper = method.trim().toUpperCase()
  if (!METHODS.has(upper)) throw new ToolError(`The method must be one of ${[...METHODS].join(', ')}.`)
  const takesBody = upper !== 'GET' && upper !== 'HEAD'
  return { url: readUrl(url), method: upper, headers: checkHeaders(headers), body: takesBody ? body : undefined }
}

function readUrl (text: string, base?: URL): URL {
  const what = base ? `${base.hostname} redirects to a URL that` : 'The URL'
  if (!URL.canParse(text.trim(), base?.href)) throw new ToolError(`${what} is not valid.`)
  const url = new URL(text.trim(), base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new ToolError(`${what} does not begin with http:// or https://.`)
  if (url.username || url.password) throw new ToolError(`${what} has a user name or password in it: send those in a header.`)
  return url
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

type ResponseHead = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>

export function isRedirect ({ statusCode, headers }: ResponseHead): boolean {
  return REDIRECTS.has(statusCode) && typeof headers.location === 'string'
}

/** The request that follows a redirect. Headers that may contain secrets are not sent to another origin. @throws {ToolError} */
export function nextHop ({ url, method, headers, body }: Hop, { statusCode, headers: { location } }: ResponseHead): Hop {
  const next = readUrl(String(location), url)
  const kept = next.origin === url.origin ? headers : withoutSecrets(headers)
  const becomesGet = (statusCode === 303 && method !== 'HEAD') || (statusCode < 303 && method === 'POST')
  if (!becomesGet) return { url: next, method, headers: kept, body }
  const { 'content-type': _type, ...rest } = kept
  return { url: next, method: 'GET', headers: rest }
}
