/** So many calls are made each by itself: alone they are soonest done, and wait for nobody. */
const FEW = 4
/** How many may share a transaction: each waits for all. */
const MOST = 32

/** None of a group's calls were made. */
export class GroupFailed extends Error {
  /** @param at the place of the one that failed; undefined: none of them did. */
  constructor (readonly at: number | undefined, cause: unknown) {
    super('a group of calls was rolled back', { cause })
  }
}

/** How calls get to the database. */
export interface Ways<Call> {
  alone (call: Call): Promise<unknown>
  /** In one transaction, and the results in the order of the calls. @throws {GroupFailed} where each can still be made alone. */
  together (calls: Call[]): Promise<unknown[]>
  /** Whether two may share a transaction. */
  fit (first: Call, other: Call): boolean
}

interface Waiting<Call> {
  call: Call
  resolve: (result: any) => void
  reject: (error: unknown) => void
  /** It was in a group that another one made fail. */
  hasFailed: boolean
}

/**
 * A group commit: where many calls are made at once, those that wait share a transaction, and so a message, an answer and
 * a write of the database's log. One group is under way at a time: two could wait for each other's locks.
 */
export class GroupCommit<Call> {
  #waiting: Array<Waiting<Call>> = []
  #alone = 0
  #hasGroup = false
  #isDue = false

  constructor (private readonly ways: Ways<Call>) {}

  /** What comes of a call, as if it had been made alone. */
  ask<T> (call: Call): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, resolve, reject, hasFailed: false })
      if (this.#areFew) return this.#send()
      if (this.#isDue) return
      this.#isDue = true
      // What else this turn of the event loop brings goes along.
      setImmediate(() => {
        this.#isDue = false
        this.#send()
      })
    })
  }

  get #areFew (): boolean {
    return this.#alone + this.#waiting.length <= FEW
  }

  #send (): void {
    if (this.#waiting.length === 0) return
    if (this.#areFew) for (const each of this.#waiting.splice(0)) this.#sendAlone(each)
    else if (!this.#hasGroup) this.#sendTogether(this.#takeGroup())
  }

  #takeGroup (): Array<Waiting<Call>> {
    const group: Array<Waiting<Call>> = []
    const [first] = this.#waiting
    this.#waiting = this.#waiting.filter(each => {
      const isTaken = group.length < MOST && this.ways.fit(first!.call, each.call)
      if (isTaken) group.push(each)
      return !isTaken
    })
    return group
  }

  async #sendAlone ({ call, resolve, reject }: Waiting<Call>): Promise<void> {
    this.#alone++
    await this.ways.alone(call).then(resolve, reject)
    this.#alone--
    this.#send()
  }

  async #sendTogether (group: Array<Waiting<Call>>): Promise<void> {
    this.#hasGroup = true
    try {
      const results = await this.ways.together(group.map(({ call }) => call))
      for (const [index, { resolve }] of group.entries()) resolve(results[index])
    } catch (error) {
      if (error instanceof GroupFailed) this.#tryAgain(group, error.at)
      else for (const { reject } of group) reject(error)
    }
    this.#hasGroup = false
    this.#send()
  }

  /** The one that failed hears alone of what it did; the others go together once more, and after that each alone. */
  #tryAgain (group: Array<Waiting<Call>>, failed: number | undefined): void {
    for (const [index, each] of group.entries()) {
      if (failed === undefined || index === failed || each.hasFailed) this.#sendAlone(each)
      else this.#waiting.push({ ...each, hasFailed: true })
    }
  }
}
