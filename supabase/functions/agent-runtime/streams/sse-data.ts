/** Characters. */
const MAX_LINE = 16 * 1024 * 1024

/**
 * Reads the `data` of a stream's events, those of one network read at a time. Each line counts as an event: gateways write
 * them so.
 * @throws {RangeError} if a line is longer than 16 Mi characters.
 */
export async function * readData (body: AsyncIterable<Uint8Array>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder()
  let rest: string[] = []
  let length = 0
  for await (const bytes of body) {
    const lines = decoder.decode(bytes, { stream: true }).split('\n')
    const last = lines.pop()!
    if (lines.length > 0) {
      lines[0] = rest.join('') + lines[0]
      rest = []
      length = 0
    }
    rest.push(last)
    length += last.length
    if (length > MAX_LINE) throw new RangeError('a line of the stream is too long')
    const data = dataOf(lines)
    if (data.length > 0) yield data
  }
  // Some servers do not end the last line.
  const data = dataOf([rest.join('') + decoder.decode()])
  if (data.length > 0) yield data
}

function dataOf (lines: string[]): string[] {
  return lines.flatMap(line => {
    // U+2028 is a character of texts; only LF and CRLF end a line here.
    const data = /^data: ?(.*?)\r?$/s.exec(line)?.[1].trim()
    return data ? [data] : []
  })
}
