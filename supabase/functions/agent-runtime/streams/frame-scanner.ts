/** Characters of a line that are enough to tell its field. */
const LINE_START = 64
const LF = 10

/**
 * Cuts a stream into whole frames, wherever the network has cut it. It decodes only the beginnings of lines, because CPU
 * time of a function is limited.
 */
export class FrameScanner {
  /** Whether the stream has announced the end of its run. */
  isDone = false
  #held: Uint8Array<ArrayBuffer>[] = []
  #line = ''
  #frame: { seq?: number, isDone?: boolean, isReconnect?: boolean } = {}

  /** @param lastSeq the number of the last event that was returned; it is kept up to date. */
  constructor (public lastSeq: number) {}

  /** Returns the bytes of the frames that are complete. A `reconnect` frame is held back: the relay sends its own. */
  push (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
    let whole = 0
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(LF, start)
      this.#note(bytes, start, end < 0 ? bytes.length : end)
      if (end < 0) break
      start = end + 1
      if (this.#endLine()) whole = start
    }
    const complete = whole > 0 ? [...this.#held, bytes.subarray(0, whole)] : []
    if (whole > 0) this.#held = []
    if (whole < bytes.length) this.#held.push(bytes.subarray(whole))
    return complete
  }

  #note (bytes: Uint8Array, start: number, end: number): void {
    const room = LINE_START - this.#line.length
    if (room > 0) this.#line += String.fromCharCode(...bytes.subarray(start, Math.min(end, start + room)))
  }

  /** Returns whether the line was the empty one that ends a frame to be relayed. */
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
