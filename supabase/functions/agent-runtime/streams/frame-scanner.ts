import type { Bytes, Frame } from './frame.ts'

/** Characters of a line that are enough to tell its field, and the type of its event. */
const LINE_START = 256
const LF = 10

/**
 * Cuts a stream into whole frames, wherever the network has cut it. It decodes only the beginnings of lines, because CPU
 * time of a function is limited.
 */
export class FrameScanner {
  /** Whether the stream has announced the end of its run. */
  isDone = false
  /** Bytes of a frame that has not ended yet. */
  #held: Bytes[] = []
  #line = ''
  #seq = 0
  #type = ''

  /** Returns the events whose frames are complete. Comments, `reconnect` and `[DONE]` are not among them: each reader has its own. */
  push (bytes: Bytes): Frame[] {
    const frames: Frame[] = []
    let begin = 0
    for (let start = 0; start < bytes.length;) {
      const end = bytes.indexOf(LF, start)
      this.#note(bytes, start, end < 0 ? bytes.length : end)
      if (end < 0) break
      start = end + 1
      if (!this.#endLine()) continue
      const frame = this.#take(bytes.subarray(begin, start))
      begin = start
      if (frame.type !== '' && frame.type !== 'reconnect') frames.push(frame)
    }
    if (begin < bytes.length) this.#held.push(bytes.subarray(begin))
    return frames
  }

  #note (bytes: Uint8Array, start: number, end: number): void {
    const room = LINE_START - this.#line.length
    if (room > 0) this.#line += String.fromCharCode(...bytes.subarray(start, Math.min(end, start + room)))
  }

  /** Returns whether the line was the empty one that ends a frame. */
  #endLine (): boolean {
    const line = this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line
    this.#line = ''
    if (line.startsWith('id:')) this.#seq = Number(line.slice(3)) || 0
    else if (line === 'data: [DONE]') this.isDone = true
    else if (line.startsWith('data:')) this.#type = /"type": ?"(\w+)"/.exec(line)?.[1] ?? ''
    return line === ''
  }

  #take (last: Bytes): Frame {
    const frame = { seq: this.#seq, type: this.#type, bytes: this.#held.length > 0 ? concat([...this.#held, last]) : last }
    this.#held = []
    this.#seq = 0
    this.#type = ''
    return frame
  }
}

function concat (parts: Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
