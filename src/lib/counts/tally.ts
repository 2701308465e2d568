/** A count with what it is of. */
export interface Counted<Label extends string> { readonly labels: Readonly<Record<Label, string>>, readonly count: number }

/** The most combinations of labels that are counted apart. Labels have few values, so that more are a mistake in the code. */
const MAX_COMBINATIONS = 1_000
const OTHER = 'other'

/** Counts what has happened since the process began, by labels of few values. Never by what users write. */
export class Tally<Label extends string> {
  readonly #counts = new Map<string, { labels: Record<Label, string>, count: number }>()

  /** Adds to the count of these labels. What would be a combination too many is counted with `other` for each of its labels. */
  add (labels: Record<Label, string>, amount = 1): void {
    let key = ''
    for (const name in labels) key += `${labels[name]}\n`
    const known = this.#counts.get(key)
    if (known) known.count += amount
    else if (this.#counts.size < MAX_COMBINATIONS || isOther(labels)) this.#counts.set(key, { labels: { ...labels }, count: amount })
    else this.add(Object.fromEntries(Object.keys(labels).map(name => [name, OTHER])) as Record<Label, string>, amount)
  }

  /** All counts. */
  get counts (): Array<Counted<Label>> { return [...this.#counts.values()] }
}

function isOther (labels: Record<string, string>): boolean {
  return Object.values(labels).every(value => value === OTHER)
}
