import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { PREFIX } from './keys.js'

/** An entry of a stream: the two numbers of its id, and its one field's value. */
export interface StreamEntry { readonly number: number, readonly part: number, readonly value: string }

type Take = (entries: StreamEntry[]) => void
interface Watched { readonly key: string, after: string, readonly take: Take }

/** How long the connection blocks where nothing happens; new streams interrupt it. */
const BLOCK_MS = 5_000
/** Entries of one stream that one read brings; what is more comes by the next. */
const COUNT = 500
const RETRY_MS = 200
/** The pause after a read that brought something: a millisecond for so many streams, and no more than this. */
const STREAMS_A_MS = 100
const MAX_PAUSE_MS = 20

/** Reads any number of streams by one blocking connection, each from where it stands. */
export class StreamReader {
  #watched = new Set<Watched>()
  #isClosed = false
  readonly #wakeKey: string
  #wakeAfter = '0'

  /**
   * @param blocking a connection of its own.
   * @param commands another, by which the first is interrupted.
   * @param name tells this process from others.
   */
  constructor (private readonly blocking: Redis, private readonly commands: Redis, name: string) {
    this.#wakeKey = `${PREFIX}:wake:${name}`
    this.#read()
  }

  /** Takes a stream's entries after an id, those that are there and those that come. Returns what ends it. */
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

  /** A read that is under way knows nothing of a new stream: this makes it return. */
  #interrupt (): void {
    // Where it fails the read returns by itself.
    this.commands.multi().xadd(this.#wakeKey, 'MAXLEN', 1, '*', 'w', '').pexpire(this.#wakeKey, 2 * BLOCK_MS).exec().catch(() => {})
  }

  async #read (): Promise<void> {
    while (!this.#isClosed) {
      const watched = [...this.#watched]
      try {
        const streams = await this.blocking.xread('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS',
          this.#wakeKey, ...watched.map(({ key }) => key), this.#wakeAfter, ...watched.map(({ after }) => after))
        for (const [key, entries] of streams ?? []) this.#hand(key, entries, watched)
        // Each read costs Redis a look at every stream: the more there are, the more each has to bring.
        if (streams) await delay(Math.min(MAX_PAUSE_MS, Math.ceil(watched.length / STREAMS_A_MS)), undefined, { ref: false })
      } catch {
        // It is away, or does not know the command; whoever asks is told by the link.
        await delay(RETRY_MS, undefined, { ref: false })
      }
    }
  }

  #hand (key: string, entries: Array<[string, string[]]>, watched: Watched[]): void {
    const last = entries.at(-1)![0]
    if (key === this.#wakeKey) this.#wakeAfter = last
    for (const stream of watched) {
      // One that is watched no more may have been read once again.
      if (stream.key !== key || !this.#watched.has(stream)) continue
      stream.after = last
      stream.take(entries.map(toEntry))
    }
  }
}

function toEntry ([id, fields]: [string, string[]]): StreamEntry {
  const [number = 0, part = 0] = id.split('-').map(Number)
  return { number, part, value: fields[1] ?? '' }
}
