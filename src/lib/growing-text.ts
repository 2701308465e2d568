const NOTHING: Buffer = Buffer.alloc(0)
const FIRST_BYTES = 256
const SLAB_BYTES = 64 * 1024
/** The longest UTF-8 encoding of one UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3
/** A text of fewer bytes is decoded as a whole, which takes no longer than to find a place in it. */
const FEW_BYTES = 4096

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
  /** The place that was looked for last, in UTF-16 units and in bytes: who reads piece by piece goes on from there. */
  #unit = 0
  #byte = 0

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
    if (this.#whole !== undefined || this.#used < FEW_BYTES) return this.toString().slice(from, to)
    const start = this.#find(Math.min(from, this.#length))
    const end = start === undefined ? undefined : this.#find(Math.min(to, this.#length))
    return end === undefined ? this.toString().slice(from, to) : this.#bytes.toString('utf8', start, end)
  }

  toString (): string {
    if (this.#whole === undefined) {
      this.#whole = this.#bytes.toString('utf8', 0, this.#used)
      // A caller that reads many slices does so synchronously.
      queueMicrotask(() => { this.#whole = undefined })
    }
    return this.#whole
  }

  /** Where the unit at an index is in the bytes; undefined if it is the second half of a character. */
  #find (unit: number): number | undefined {
    if (this.#used === this.#length) return unit
    if (unit === this.#length) return this.#used
    if (unit < this.#unit) this.#unit = this.#byte = 0
    let [at, byte] = [this.#unit, this.#byte]
    while (at < unit) {
      const lead = this.#bytes[byte]!
      byte += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
      at += lead < 0xf0 ? 1 : 2
    }
    if (at > unit) return undefined
    this.#unit = at
    this.#byte = byte
    return byte
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
