/** Ends an answer, but not the run that it is about. */
type End = () => void

/** Answers under way that others than the event streams write: each is ended when the server closes, or when it has lasted as long as a connection may. */
export class OpenAnswers {
  readonly #ends = new Set<End>()
  readonly #named = new Map<string, () => void>()
  #isClosing = false

  /** @param maxMs how long one may last, in milliseconds. */
  constructor (private readonly maxMs: number) {}

  /**
   * Registers an answer.
   * @param end is called once at the most; at once, if the server closes already.
   * @returns what is to be called when the answer is through.
   */
  add (end: End): () => void {
    const timer = setTimeout(() => this.#end(end), this.maxMs).unref()
    this.#ends.add(end)
    if (this.#isClosing) this.#end(end)
    return () => {
      clearTimeout(timer)
      this.#ends.delete(end)
    }
  }

  /**
   * Names an answer, so that a later request of its client can leave it as if its connection had been closed. Of two of one name the later one counts.
   * @returns what is to be called when the answer is through.
   */
  name (name: string, leave: () => void): () => void {
    this.#named.set(name, leave)
    return () => { if (this.#named.get(name) === leave) this.#named.delete(name) }
  }

  /** Leaves the answer of a name, if it is under way here. */
  leave (name: string): void {
    this.#named.get(name)?.()
  }

  close (): void {
    this.#isClosing = true
    for (const end of this.#ends) this.#end(end)
  }

  #end (end: End): void {
    if (this.#ends.delete(end)) end()
  }
}
