import { inTurn } from '../bounds/turns.ts'

/** In UTF-16 units. */
const MAX_END = 8_000
/** Chosen by chance, so that nobody can choose many texts whose hashes are the same. */
const [MULTIPLIER, SALT] = crypto.getRandomValues(new Int32Array(2)).map(number => number | 1) as unknown as [number, number]
/** UTF-16 units of all words times those of the text, up to which `includes` costs less. */
const MAX_PLAIN = 4_000

/** Where words are looked for in a text: its first and its last 8,000 UTF-16 units, in lower case. */
export function searchedPartOf (text: string): string {
  const part = text.length <= 2 * MAX_END ? text : `${text.slice(0, MAX_END)}\n${text.slice(-MAX_END)}`
  return part.toLowerCase()
}

/** Whether one of the words occurs, also as a part of another word. @param searched as `searchedPartOf` returns it. */
export function occursIn (searched: string, words: readonly string[]): boolean {
  return [...byLength(words)].some(([length, ofLength]) => findOfLength(searched, length, ofLength, true).length > 0)
}

/** Those of the words that occur, as above. Many words are searched for in several turns of the event loop. */
export async function findWords (searched: string, words: Iterable<string>): Promise<Set<string>> {
  const found = new Set<string>()
  for (const [length, ofLength] of byLength(words)) {
    for (const word of await inTurn(() => findOfLength(searched, length, ofLength))) found.add(word)
  }
  return found
}

function byLength (words: Iterable<string>): Map<number, Set<string>> {
  const lengths = new Map<number, Set<string>>()
  for (const word of words) {
    const known = lengths.get(word.length)
    if (known) known.add(word)
    else lengths.set(word.length, new Set([word]))
  }
  return lengths
}

/**
 * The words of one length that occur. `includes` takes time with each word, and up to their product with some pairs of
 * text and word; a rolling hash (Rabin-Karp) reads the text once for all words.
 */
function findOfLength (text: string, length: number, words: ReadonlySet<string>, isOneEnough = false): string[] {
  if (length > text.length) return []
  if (text.length * words.size * length <= MAX_PLAIN) return [...words].filter(word => text.includes(word))
  return roll(text, length, new Sought(words), isOneEnough)
}

/** Words of one length by their hashes. */
class Sought {
  readonly #words = new Map<number, string[]>()
  /** Whether there may be a hash with these upper 12 bits: a look into it costs a fraction of one into the map. */
  readonly mayHave = new Uint8Array(4_096)

  constructor (words: Iterable<string>) {
    for (const word of words) {
      const hash = hashOf(word, word.length)
      this.mayHave[hash >>> 20] = 1
      this.#words.set(hash, [...this.#words.get(hash) ?? [], word])
    }
  }

  /** Takes the words of this hash that stand in the text at this position; each is taken once. */
  takeAt (hash: number, text: string, at: number): string[] {
    const words = this.#words.get(hash)
    if (!words) return []
    const hits = words.filter(word => text.startsWith(word, at))
    if (hits.length === words.length) this.#words.delete(hash)
    else if (hits.length > 0) this.#words.set(hash, words.filter(word => !hits.includes(word)))
    return hits
  }
}

function roll (text: string, length: number, sought: Sought, isOneEnough: boolean): string[] {
  const { mayHave } = sought
  const found: string[] = []
  let weight = 1
  for (let i = 0; i < length; i++) weight = Math.imul(weight, MULTIPLIER)
  let hash = hashOf(text, length)
  for (let at = 0; ; at++) {
    if (mayHave[hash >>> 20] === 1) {
      found.push(...sought.takeAt(hash, text, at))
      if (isOneEnough && found.length > 0) return found
    }
    if (at + length >= text.length) return found
    hash = (Math.imul(hash, MULTIPLIER) + mixed(text.charCodeAt(at + length)) - Math.imul(mixed(text.charCodeAt(at)), weight)) | 0
  }
}

function hashOf (text: string, length: number): number {
  let hash = 0
  for (let i = 0; i < length; i++) hash = (Math.imul(hash, MULTIPLIER) + mixed(text.charCodeAt(i))) | 0
  return hash
}

function mixed (code: number): number {
  return Math.imul(code ^ SALT, 0x9e3779b1)
}
