const MAX_LENGTH = 64
/** UTF-16 units of a server's name for a tool that are looked at. */
const MAX_WANTED = 200

/** The names of a run's tools: unique, and valid for models. */
export class ToolNames {
  #taken = new Set<string>()

  constructor (taken: Iterable<string> = []) {
    for (const name of taken) this.#taken.add(name)
  }

  /**
   * Takes a valid name that resembles the wanted one. If it is in use, the prefix is added, then a number.
   * @returns 1 to 64 of `[a-zA-Z0-9_-]`.
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

/** Removes accents, and replaces all other characters that a name cannot have. */
function toValid (wanted: string): string {
  const plain = wanted.slice(0, MAX_WANTED).normalize('NFKD').replace(/\p{M}/gu, '').replace(/[^\w-]+/g, '_').replace(/^_+|_+$/g, '')
  return plain.slice(0, MAX_LENGTH) || 'tool'
}
