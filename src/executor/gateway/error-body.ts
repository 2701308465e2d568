/** In bytes. */
const MAX_ERROR = 64 * 1024

/** The body of a response that is no completion. */
export class ErrorBody {
  #chunks: Buffer[] = []
  #length = 0
  #pieces = 0

  /** How many chunks had more than white space: servers send that to keep a connection open. */
  get pieces (): number { return this.#pieces }

  /**
   * @param chunk is copied.
   * @returns whether the body is within 64 KiB; the chunk that exceeds it is not kept.
   */
  add (chunk: Buffer): boolean {
    this.#length += chunk.length
    if (chunk.some(byte => byte > 0x20)) this.#pieces++
    if (this.#length > MAX_ERROR) return false
    this.#chunks.push(Buffer.from(chunk))
    return true
  }

  toString (): string { return Buffer.concat(this.#chunks).toString() }
}
