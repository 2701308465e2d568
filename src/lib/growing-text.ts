const NOTHING: Buffer = Buffer.alloc(0)
const FIRST_BYTES = 256
const SLAB_BYTES = 64 * 1024
/** UTF-8 needs no more of them for a UTF-16 unit. */
const MAX_BYTES_A_UNIT = 3

/**
 * A text that grows by small pieces, as UTF-8 in one block. A string for each piece would be copied and looked at by the
 * garbage collector for as long as the text is kept, which costs more than the piece itself did.
 */
export class GrowingText {
  #bytes = NOTHING
  #used = 0
  #length = 0
  /** The text as it is, while somebody reads it piece by piece. */
  #whole: string | undefined

  /** In UTF-16 units, as of a string. */
  get length (): number { return this.#length }

  /**
   * @param piece well-formed: half of a surrogate pair would become U+FFFD.
   * @returns how many bytes of memory more it takes now.
   */
  append (piece: string): number {
    const most = this.#used + piece.length * MAX_BYTES_A_UNIT
    const grown = most > this.#bytes.length ? this.#grow(most) : 0
    this.#used += this.#bytes.write(piece, this.#used)
    this.#length += piece.length
    this.#whole = undefined
    return grown
  }

  /** The units from one place to another. */
  slice (from: number, to = this.#length): string {
    return this.toString().slice(from, to)
  }

  toString (): string {
    if (this.#whole === undefined) {
      this.#whole = this.#bytes.toString('utf8', 0, this.#used)
      // Who reads it piece by piece does so at once.
      queueMicrotask(() => { this.#whole = undefined })
    }
    return this.#whole
  }

  #grow (least: number): number {
    const before = this.#bytes.length
    const bytes = allocate(Math.max(FIRST_BYTES, this.#bytes.length * 2, least))
    this.#bytes.copy(bytes, 0, 0, this.#used)
    this.#bytes = bytes
    return bytes.length - before
  }
}

let slab: Buffer = NOTHING

/** Short texts share slabs: those of Node.js are shared with all that is written to sockets, and one text would keep all of it. */
function allocate (length: number): Buffer {
  if (length > SLAB_BYTES / 16) return Buffer.allocUnsafeSlow(length)
  if (length > slab.length) slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  const bytes = slab.subarray(0, length)
  slab = slab.subarray(length)
  return bytes
}
