/** The status and the headers of a response. */
export interface ResponseHead {
  status: number
  /** By lower-case name, without a prototype. Values of repeated headers are joined by `, `. */
  headers: Record<string, string>
}

/** The server sent something that is not HTTP/1.1, or exceeds a limit. */
export class HttpParseError extends Error {
  override name = 'HttpParseError'
}

/** Subtracted from the server's idle timeout: a request sent just before the server closes would arrive too late. */
const IDLE_MARGIN_MS = 1_000

const HEADER_LINE = /^([!#$%&'*+.^`|~\w-]+):([\t -~\x80-\xff]*)$/

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/

/** @throws {HttpParseError} */
export function parseStatusLine (line: string): { status: number, isHttp11: boolean } {
  const [, minor, digits] = STATUS_LINE.exec(line) ?? []
  if (minor === undefined) throw new HttpParseError('The status line is malformed.')
  return { status: Number(digits), isHttp11: minor === '1' }
}

/**
 * @param lines without their line ends, continuation lines already joined.
 * @throws {HttpParseError}
 */
export function parseHeaders (lines: string[]): ResponseHead['headers'] {
  const headers: ResponseHead['headers'] = Object.create(null)
  for (const line of lines) {
    const [, name, padded] = HEADER_LINE.exec(line) ?? []
    if (name === undefined) throw new HttpParseError('A header is malformed.')
    const key = name.toLowerCase()
    const value = trimBlanks(padded!)
    const known = headers[key]
    // A repeated `content-length` with the same value counts as one (RFC 9112, 6.3).
    if (known === undefined) headers[key] = value
    else if (key !== 'content-length' || known !== value) headers[key] = `${known}, ${value}`
  }
  return headers
}

/** Whether the connection may carry another request after this response (RFC 9112, 9.3). */
export function allowsReuse ({ connection = '' }: ResponseHead['headers'], isHttp11: boolean): boolean {
  const options = connection.toLowerCase().split(',').map(option => option.trim())
  return !options.includes('close') && (isHttp11 || options.includes('keep-alive'))
}

/** How many milliseconds the server keeps an idle connection open, by its `keep-alive` header; Infinity if it does not say. */
export function readIdleMs ({ 'keep-alive': hint = '' }: ResponseHead['headers']): number {
  const seconds = /\btimeout=(\d+)/i.exec(hint)?.[1]
  return seconds === undefined ? Infinity : Math.max(0, Number(seconds) * 1000 - IDLE_MARGIN_MS)
}

/** Removes spaces and tabs at both ends. A regular expression would take quadratic time for many of them. */
function trimBlanks (value: string): string {
  let from = 0
  let to = value.length
  while (from < to && isBlank(value.charCodeAt(from))) from++
  while (from < to && isBlank(value.charCodeAt(to - 1))) to--
  return value.slice(from, to)
}

function isBlank (code: number): boolean {
  return code === 32 || code === 9
}
