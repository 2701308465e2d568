import { ToolError } from '../tool.js'

/** They belong to the connection, and whoever sets them by hand gets them wrong. */
const OF_THE_CONNECTION = new Set([
  'host', 'connection', 'keep-alive', 'content-length', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect',
  'accept-encoding', 'proxy-authorization', 'proxy-connection'
])

/** They describe the request itself; all others may be secrets. */
const HARMLESS = new Set(['accept', 'accept-language', 'content-type', 'user-agent'])

/**
 * The headers that a function's `headers_json` holds: an object, its JSON, or nothing.
 * @throws {ToolError} which names the header at fault, never its value.
 */
export function readHeaders (given: unknown): Record<string, string> {
  const value = typeof given === 'string' ? parse(given) : given ?? {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw broken()
  return Object.fromEntries(Object.entries(value).map(([name, content]) => {
    if (typeof content !== 'string' && typeof content !== 'number' && typeof content !== 'boolean') throw new ToolError(`The header ${shown(name)} must be text.`)
    return [name, String(content)]
  }))
}

function parse (text: string): unknown {
  try {
    return text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    throw broken()
  }
}

function broken (): ToolError {
  return new ToolError('The function\'s headers_json is not a JSON object of header names and their values.')
}

/** In lower case, without those of the connection. @throws {ToolError} where one cannot be sent. */
export function checkHeaders (headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers)
    .map(([name, value]) => [name.trim().toLowerCase(), value.trim()] as const)
    .filter(([name]) => !OF_THE_CONNECTION.has(name))
    .map(([name, value]) => {
      if (!/^[a-z\d!#$%&'*+.^_`|~-]+$/.test(name)) throw new ToolError(`${shown(name)} is no name of a header.`)
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) throw new ToolError(`The value of the header ${shown(name)} cannot be sent.`)
      return [name, value]
    }))
}

/** What of a request's headers may go to another origin. */
export function withoutOwn (headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => HARMLESS.has(name)))
}

function shown (name: string): string {
  return JSON.stringify(name.slice(0, 60))
}
