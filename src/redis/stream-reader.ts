import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { wakeKey } from './keys.js'

/** An entry of a stream: the first number of its id, and the value of its only field. */
export interface StreamEntry { readonly number: number, readonly value: string }

type Take = (entries: StreamEntry[]) => void
interface Watched { readonly key: string, after: string, readonly take: Take }

/** How long a read blocks while nothing happens; a newly watched stream interrupts it. */
const BLOCK_MS = 5_000
/** The entries of one stream that a read returns at the most; the next read returns the others. */
const COUNT = 500
/** The pause after a read that failed. */
const RETRY_MS = 200
/** The pause after a read that returned entries is 1 ms per this number of streams, up to MAX_PAUSE_MS. */
const STREAMS_PER_MS = 100
const MAX_PAUSE_MS = 20

/** Reads any number of streams over one blocking connection, each from its own position. */
export class StreamReader {
  #watched = new Set<Watched>()
  #isClosed = false
  /** A stream that is always read; an entry in it interrupts a blocking read. */
  readonly #wakeKey: string
  #wakeAfter = '0'

  /**
   * @param blocking a connection that is used for nothing else.
   * @param commands another connection, over which a blocking read is interrupted.
   * @param name a name that no other process has.
   */
  constructor (private readonly blocking: Redis, private readonly commands: Redis, name: string) {
    this.#wakeKey = wakeKey(name)
    this.#read()
  }

  /**
   * Passes the entries of a stream after the id `after` to `take`: those that exist, and new ones as they come. `take` must not
   * throw. Returns a function that stops watching.
   */
  watch (key: string, after: string, take: Take): () => void {
    const watched = { key, after, take }
    this.#watched.add(watched)
    this.#interrupt()
    return () => { this.#watched.delete(watched) }
  }

  close (): void {
    this.#isClosed = true
    this.blocking.disconnect()
  }

  /** Makes the current read return, because it does not include a new stream. */
  #interrupt (): void {
    // If this fails, the read returns by itself after BLOCK_MS.
    this.commands.multi().xadd(this.#wakeKey, 'MAXLEN', 1, '*', 'w', '').pexpire(this.#wakeKey, 2 * BLOCK_MS).exec().catch(() => {})
  }

  async #read (): Promise<void> {
    while (!this.#isClosed) {
      const watched = [...this.#watched]
      try {
        const streams = await this.blocking.xread('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS',
          this.#wakeKey, ...watched.map(({ key }) => key), this.#wakeAfter, ...watched.map(({ after }) => after))
        for (const [key, entries] of streams ?? []) this.#deliver(key, entries, watched)
        // Each read makes Redis look at every stream, so with many streams each read should return more.
        if (streams) await delay(Math.min(MAX_PAUSE_MS, Math.ceil(watched.length / STREAMS_PER_MS)), undefined, { ref: false })
      } catch {
        // Redis is away, which the link reports.
        await delay(RETRY_MS, undefined, { ref: false })
      }
    }
  }

  #deliver (key: string, entries: Array<[string, string[]]>, watched: Watched[]): void {
    const last = entries.at(-1)![0]
    if (key === this.#wakeKey) this.#wakeAfter = last
    for (const stream of watched) {
      // A stream that is no longer watched may have been read once more.
      if (stream.key !== key || !this.#watched.has(stream)) continue
      stream.after = last
      stream.take(entries.map(toEntry))
    }
  }
}

/** Converts an entry as ioredis returns it. */
export function toEntry ([id, fields]: [string, string[]]): StreamEntry {
  return { number: Number(id.split('-')[0]), value: fields[1] ?? '' }
}
