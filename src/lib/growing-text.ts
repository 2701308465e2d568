const NOTHING: Buffer = Buffer.alloc(0)
const FIRST_BYTES = 256
const SLAB_BYTES = 64 * 1024
/** The longest UTF-8 encoding of one UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3

/**
 * A text that grows by small pieces, stored as UTF-8 in one buffer outside the heap. As strings, the pieces would be copied
 * and traced by the garbage collector for as long as the text lives, which costs more than to produce them.
 */
export class GrowingText {
  #bytes = NOTHING
  #used = 0
  #length = 0
  /** The decoded text, cached until the next microtask. */
  #whole: string | undefined

  /** In UTF-16 units, like the length of a string. */
  get length (): number { return this.#length }

  /**
   * @param piece must be well-formed: a lone surrogate becomes U+FFFD.
   * @returns by how many bytes the memory of this text has grown.
   */
  append (piece: string): number {
    const needed = this.#used + piece.length * MAX_BYTES_PER_UNIT
    const grown = needed > this.#bytes.length ? this.#grow(needed) : 0
    this.#used += this.#bytes.write(piece, this.#used)
    this.#length += piece.length
    this.#whole = undefined
    return grown
  }

  /** Like `String.prototype.slice`. */
  slice (from: number, to = this.#length): string {
    return this.toString().slice(from, to)
  }

  toString (): string {
    if (this.#whole === undefined) {
      this.#whole = this.#bytes.toString('utf8', 0, this.#used)
      // A caller that reads many slices does so synchronously.
      queueMicrotask(() => { this.#whole = undefined })
    }
    return this.#whole
  }

  #grow (minimum: number): number {
    const before = this.#bytes.length
    const bytes = allocate(Math.max(FIRST_BYTES, this.#bytes.length * 2, minimum))
    this.#bytes.copy(bytes, 0, 0, this.#used)
    this.#bytes = bytes
    return bytes.length - before
  }
}

let slab: Buffer = NOTHING

/**
 * Short texts share slabs of their own. Node.js's pool is shared with everything that is written to sockets, and one small
 * text would keep a whole block of it alive.
 */
function allocate (length: number): Buffer {
  if (length > SLAB_BYTES / 16) return Buffer.allocUnsafeSlow(length)
  if (length > slab.length) slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  const bytes = slab.subarray(0, length)
  slab = slab.subarray(length)
  return bytes
}
