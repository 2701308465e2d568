/** While at most this many calls are under way or waiting, each is sent alone: that is fastest for all of them. */
const MAX_ALONE = 4
/** The largest number of calls in a group: each of them waits for all. */
const MAX_GROUP = 32

/** A group of calls was rolled back, so that none of them has taken effect. */
export class GroupRolledBack extends Error {
  /** @param failed the index of the call that failed; undefined if no call did, but the commit. */
  constructor (readonly failed: number | undefined, cause: unknown) {
    super('a group of calls was rolled back', { cause })
  }
}

/** Sends calls to the database. */
export interface CallSender<Call> {
  sendAlone (call: Call): Promise<unknown>
  /** Sends calls in one transaction, and resolves to their results in order. @throws {GroupRolledBack} if each can still be sent alone. */
  sendGroup (calls: Call[]): Promise<unknown[]>
  /** Whether two calls may share a transaction. */
  canShare (first: Call, other: Call): boolean
  /** What a call locks. A group's calls are made in the order of these: otherwise groups of two processes would wait for each other. */
  lockOf (call: Call): string
}

interface Waiting<Call> {
  call: Call
  resolve: (result: any) => void
  reject: (error: unknown) => void
  /** Whether the call was in a group that another call made fail. */
  wasRolledBack: boolean
}

/**
 * Group commit: when many calls are concurrent, those that wait share a transaction, and so one message, one answer and
 * one write of the database's log. Only one group is under way at a time, since two could deadlock.
 */
export class GroupCommit<Call> {
  #waiting: Array<Waiting<Call>> = []
  #alone = 0
  #hasGroup = false
  #isScheduled = false

  constructor (private readonly sender: CallSender<Call>) {}

  /** Makes a call, alone or in a group. The result or error is the same in both cases. */
  call<T> (call: Call): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, resolve, reject, wasRolledBack: false })
      if (this.#areFew) return this.#send()
      if (this.#isScheduled) return
      this.#isScheduled = true
      // The other calls of this turn of the event loop join the group.
      setImmediate(() => {
        this.#isScheduled = false
        this.#send()
      })
    })
  }

  get #areFew (): boolean {
    return this.#alone + this.#waiting.length <= MAX_ALONE
  }

  #send (): void {
    if (this.#waiting.length === 0) return
    if (this.#areFew) for (const each of this.#waiting.splice(0)) this.#sendAlone(each)
    else if (!this.#hasGroup) this.#sendGroup(this.#takeGroup())
  }

  #takeGroup (): Array<Waiting<Call>> {
    const group: Array<Waiting<Call>> = []
    const [first] = this.#waiting
    this.#waiting = this.#waiting.filter(each => {
      const isTaken = group.length < MAX_GROUP && this.sender.canShare(first!.call, each.call)
      if (isTaken) group.push(each)
      return !isTaken
    })
    return group.map(each => ({ each, lock: this.sender.lockOf(each.call) })).sort((a, b) => a.lock < b.lock ? -1 : Number(a.lock > b.lock)).map(({ each }) => each)
  }

  async #sendAlone ({ call, resolve, reject }: Waiting<Call>): Promise<void> {
    this.#alone++
    await this.sender.sendAlone(call).then(resolve, reject)
    this.#alone--
    this.#send()
  }

  async #sendGroup (group: Array<Waiting<Call>>): Promise<void> {
    this.#hasGroup = true
    try {
      const results = await this.sender.sendGroup(group.map(({ call }) => call))
      for (const [index, { resolve }] of group.entries()) resolve(results[index])
    } catch (error) {
      if (error instanceof GroupRolledBack) this.#retry(group, error.failed)
      else for (const { reject } of group) reject(error)
    }
    this.#hasGroup = false
    this.#send()
  }

  /** The failed call is sent alone and gets its own error. The others are grouped once more, and after a second rollback sent alone. */
  #retry (group: Array<Waiting<Call>>, failed: number | undefined): void {
    for (const [index, each] of group.entries()) {
      if (failed === undefined || index === failed || each.wasRolledBack) this.#sendAlone(each)
      else this.#waiting.push({ ...each, wasRolledBack: true })
    }
  }
}
