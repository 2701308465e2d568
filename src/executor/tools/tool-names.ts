const MAX_LENGTH = 64

/** Names as models take them, each once. */
export class ToolNames {
  #taken = new Set<string>()

  constructor (taken: Iterable<string> = []) {
    for (const name of taken) this.#taken.add(name)
  }

  /**
   * A valid name like the wanted one that nothing else has.
   * @param prefix what to put before it where another has it already; beyond that they are counted.
   */
  take (wanted: string, prefix?: string): string {
    const plain = toValid(wanted)
    const prefixed = prefix === undefined ? plain : toValid(`${prefix}_${wanted}`)
    let name = this.#taken.has(plain) ? prefixed : plain
    for (let n = 2; this.#taken.has(name); n++) name = `${prefixed.slice(0, MAX_LENGTH - 1 - String(n).length)}_${n}`
    this.#taken.add(name)
    return name
  }
}

/** Letters lose their accents; what is left of other scripts is too little for a name. */
function toValid (wanted: string): string {
  const plain = wanted.normalize('NFKD').replace(/\p{M}/gu, '').replace(/[^\w-]+/g, '_').replace(/^_+|_+$/g, '')
  return plain.slice(0, MAX_LENGTH) || 'tool'
}
