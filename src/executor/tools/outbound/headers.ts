import { ToolError } from '../tool.js'

/** Headers that the HTTP client sets itself. */
const CONNECTION_HEADERS = new Set([
  'host', 'connection', 'keep-alive', 'content-length', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect',
  'accept-encoding', 'proxy-authorization', 'proxy-connection'
])

/** Headers that describe the request itself. Any other may contain a secret. */
const SAFE_HEADERS = new Set(['accept', 'accept-language', 'content-type', 'user-agent'])

/**
 * Reads headers that a user has configured: an object, its JSON, or nothing.
 * @param subject where they stand, for the error.
 * @throws {ToolError} that names the invalid header, never its value.
 */
export function readHeaders (given: unknown, subject = 'The function\'s headers_json'): Record<string, string> {
  const value = typeof given === 'string' ? parse(given) : given ?? {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ToolError(`${subject} is not a JSON object of header names and their values.`)
  }
  return Object.fromEntries(Object.entries(value).map(([name, content]) => {
    if (typeof content !== 'string' && typeof content !== 'number' && typeof content !== 'boolean') throw new ToolError(`The header ${quote(name)} must be text.`)
    return [name, String(content)]
  }))
}

/** The JSON of a text; undefined if it is none. */
function parse (text: string): unknown {
  try {
    return text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Lowercases the names and drops the headers of the connection. @throws {ToolError} if a header cannot be sent. */
export function checkHeaders (headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers)
    .map(([name, value]) => [name.trim().toLowerCase(), value.trim()] as const)
    .filter(([name]) => !CONNECTION_HEADERS.has(name))
    .map(([name, value]) => {
      if (!/^[a-z\d!#$%&'*+.^_`|~-]+$/.test(name)) throw new ToolError(`${quote(name)} is no name of a header.`)
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) throw new ToolError(`The value of the header ${quote(name)} cannot be sent.`)
      return [name, value]
    }))
}

/** The headers of a request that may be sent to another origin. */
export function withoutSecrets (headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => SAFE_HEADERS.has(name)))
}

function quote (name: string): string {
  return JSON.stringify(name.slice(0, 60))
}
