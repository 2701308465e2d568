/** In bytes. */
const MAX_ERROR = 64 * 1024
const MAX_COMPLETION = 16 * 1024 * 1024

/** The body of a response that is not a stream: an error, or a whole completion. */
export class WholeBody {
  #chunks: Buffer[] = []
  #length = 0
  #pieces = 0

  constructor (private readonly isCompletion: boolean) {}

  /** How many chunks had more than white space: servers send that to keep a connection open. */
  get pieces (): number { return this.#pieces }

  /**
   * @param chunk is copied.
   * @returns whether the body is within its limit; the chunk that exceeds it is not kept.
   */
  add (chunk: Buffer): boolean {
    this.#length += chunk.length
    if (chunk.some(byte => byte > 0x20)) this.#pieces++
    if (this.#length > (this.isCompletion ? MAX_COMPLETION : MAX_ERROR)) return false
    this.#chunks.push(Buffer.from(chunk))
    return true
  }

  toString (): string { return Buffer.concat(this.#chunks).toString() }
}
