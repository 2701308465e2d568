import type { RunEvent } from '../run.ts'

const encoder = new TextEncoder()

/** A run's event as a frame of `text/event-stream`; its number is the frame's id, from which a reader can resume. */
export function encodeSse (seq: number, event: RunEvent): Uint8Array<ArrayBuffer> {
  return encoder.encode(`id: ${seq}\ndata: ${JSON.stringify(event)}\n\n`)
}

/** The last frame of a stream whose run has ended. */
export const SSE_DONE = encoder.encode('data: [DONE]\n\n')

/** A comment, so that no proxy takes a quiet stream for a dead one. */
export const SSE_PING = encoder.encode(': ping\n\n')

/** Milliseconds: two of them are less than the 15 s that are promised. */
export const PING_MS = 7_000

/**
 * The connection ends and the run does not; it has no id, for it is no event of the run.
 * @param url where to go on, with the caller's own credentials.
 */
export function encodeReconnect (after: number, runId: string, url: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(`data: ${JSON.stringify({ type: 'reconnect', after, runId, url })}\n\n`)
}

/** As much of a line as it takes to know what it is. */
const LINE_START = 64
const LF = 10

/** Cuts a stream into whole frames, wherever the network has cut it, reading no more of it than the lines' beginnings. */
export class FrameScanner {
  /** The stream has said that its run has ended. */
  isDone = false
  #held: Uint8Array<ArrayBuffer>[] = []
  #line = ''
  #frame: { seq?: number, isDone?: boolean, isReconnect?: boolean } = {}

  /** @param lastSeq the number of the last event that was given out; it is kept up to date. */
  constructor (public lastSeq: number) {}

  /** The bytes of the frames that are whole by now. A `reconnect` is kept back: who passes the stream on has its own to say. */
  push (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    let whole = 0
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(LF, start)
      this.#note(bytes, start, end < 0 ? bytes.length : end)
      if (end < 0) break
      start = end + 1
      if (this.#endLine()) whole = start
    }
    const given = whole > 0 ? [...this.#held, bytes.subarray(0, whole)] : []
    if (whole > 0) this.#held = []
    if (whole < bytes.length) this.#held.push(bytes.subarray(whole))
    return given
  }

  #note (bytes: Uint8Array, start: number, end: number): void {
    const room = LINE_START - this.#line.length
    if (room > 0) this.#line += String.fromCharCode(...bytes.subarray(start, Math.min(end, start + room)))
  }

  /** Whether the line was the empty one that ends a frame to be passed on. */
  #endLine (): boolean {
    const line = this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line
    this.#line = ''
    if (line !== '') {
      if (line.startsWith('id:')) this.#frame.seq = Number(line.slice(3)) || undefined
      else if (line === 'data: [DONE]') this.#frame.isDone = true
      else if (line.startsWith('data: {"type":"reconnect"')) this.#frame.isReconnect = true
      return false
    }
    const { seq, isDone, isReconnect } = this.#frame
    this.#frame = {}
    if (isReconnect) return false
    this.lastSeq = seq ?? this.lastSeq
    this.isDone ||= isDone === true
    return true
  }
}

/** A line of a gateway's stream may be as long as this. */
const MAX_LINE = 16 * 1024 * 1024

/** Reads the `data` of a stream's events, all that one network read brought together. A line is an event: so do gateways write them. */
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
    if (length > MAX_LINE) throw new RangeError('an event of the stream is too long')
    const data = dataOf(lines)
    if (data.length > 0) yield data
  }
  // For servers that forget the end of the last line.
  const data = dataOf([rest.join('') + decoder.decode()])
  if (data.length > 0) yield data
}

function dataOf (lines: string[]): string[] {
  return lines.flatMap(line => {
    const data = /^data: ?(.*?)\r?$/.exec(line)?.[1].trim()
    return data ? [data] : []
  })
}
