import type { ChainableCommander, Redis } from 'ioredis'
import { attemptOf, firstSeq } from '#shared/event-number.ts'
import type { EventLog } from '../executor/events/event-log.js'
import { streamKey } from './keys.js'
import { packEvents, STREAM_SECONDS } from './run-stream.js'

/** How long events wait for others to be sent with them; this adds to the latency of readers at other processes. */
const FLUSH_MS = 3
/** The pause after a flush that Redis did not accept wholly. */
const RETRY_MS = 500
/** The entries of a stream at the most, some hours of a run; readers that come later get the end from the database. */
const MAX_LENGTH = 1_000_000
/** A stream's expiry is renewed twice within its lifetime. */
const RENEW_MS = STREAM_SECONDS * 500

/** How far the stream of one of this process's runs has got. */
interface Publication {
  readonly runId: string
  readonly attempt: number
  /** The number of the last event that Redis has accepted. */
  until: number
  /** When the stream's expiry is due to be renewed, in milliseconds since 1970. */
  expires: number
  /** Whether a later attempt has written to the stream, which ends this publication. */
  isFenced: boolean
  /** Whether Redis was away and may hold less than it has accepted. */
  isDoubtful: boolean
}

/** A command in a pipeline: an entry whose last event is number `until`, a new expiry, or neither. */
interface Command { readonly publication: Publication, readonly until?: number, readonly expires?: number }

/**
 * Publishes the events of this process's runs to their streams in Redis. It has no buffer: it sends from the log what lies
 * beyond `until`, one entry per run at a time, all runs in one pipeline, and starts again where Redis has lost something.
 */
export class StreamPublisher {
  #publications = new Map<string, Publication>()
  /** The runs that may have events to send. */
  #unsent = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #isFlushing = false
  #isClosed = false

  /** @param keepEndedSeconds how long the stream of an ended run is kept; after that readers get its end from the database. */
  constructor (
    private readonly redis: Redis,
    private readonly log: Pick<EventLog, 'entries' | 'last' | 'hasEnded'>,
    private readonly keepEndedSeconds: number
  ) {
    redis.on('ready', this.#doubt)
  }

  /** Begins to publish an attempt. */
  open (runId: string, attempt: number): Publication {
    const publication = { runId, attempt, until: firstSeq(attempt) - 1, expires: 0, isFenced: false, isDoubtful: false }
    this.#publications.set(runId, publication)
    return publication
  }

  /** A run has a new event, or will have it in this tick: sends it soon. */
  schedule (runId: string): void {
    this.#unsent.add(runId)
    this.#wait(FLUSH_MS)
  }

  /** Whether events of a run may not have been sent yet. */
  hasUnpublished (runId: string): boolean {
    return this.#unsent.has(runId)
  }

  /** The log has evicted a run. */
  evict (runId: string): void {
    this.#publications.delete(runId)
    this.#unsent.delete(runId)
  }

  close (): void {
    this.#isClosed = true
    this.redis.off('ready', this.#doubt)
    clearTimeout(this.#timer)
  }

  /** After a reconnect, Redis may have been restored from an earlier state: checks each stream before it is continued. */
  readonly #doubt = (): void => {
    for (const publication of this.#publications.values()) {
      // Readers find an ended run in the database.
      if (this.log.hasEnded(publication.runId) && publication.until === this.log.last(publication.runId)) continue
      publication.isDoubtful = true
      this.#unsent.add(publication.runId)
    }
    if (this.#unsent.size > 0) this.#wait(FLUSH_MS)
  }

  #wait (ms: number): void {
    if (!this.#isFlushing && !this.#isClosed) this.#timer ??= setTimeout(() => this.#flush(), ms)
  }

  /** Sends the events of all runs. Events that are appended meanwhile are left to the next flush. */
  async #flush (): Promise<void> {
    this.#timer = undefined
    this.#isFlushing = true
    const runIds = [...this.#unsent]
    this.#unsent.clear()
    const isAccepted = await this.#send(runIds)
    this.#isFlushing = false
    if (this.#unsent.size > 0) this.#wait(isAccepted ? FLUSH_MS : RETRY_MS)
  }

  /** Returns whether Redis has accepted everything. Runs with more to send are added to the unsent ones again. */
  async #send (runIds: string[]): Promise<boolean> {
    const doubtful = runIds.flatMap(runId => this.#publications.get(runId) ?? []).filter(({ isDoubtful }) => isDoubtful)
    let isAccepted = (await Promise.all(doubtful.map(publication => this.#catchUp(publication)))).every(Boolean)
    const pipeline = this.redis.pipeline()
    const commands = runIds.flatMap(runId => this.#write(pipeline, runId))
    const results = await pipeline.exec().catch((error: Error) => commands.map(() => [error, undefined] as const))
    for (const [index, { publication, until, expires }] of commands.entries()) {
      const [error, result] = results![index]!
      // Another attempt may have been opened meanwhile, which has other numbers.
      if (this.#publications.get(publication.runId) !== publication) continue
      if (until !== undefined && !await this.#confirm(publication, until, error, result)) isAccepted = false
      if (expires !== undefined && !error) publication.expires = expires
    }
    return isAccepted
  }

  /**
   * Adds a run's next entry to a pipeline. The entry after it is sent only when this one is accepted: if Redis refused the
   * first and accepted the second, the stream would have a gap.
   */
  #write (pipeline: ChainableCommander, runId: string): Command[] {
    const publication = this.#find(runId)
    if (!publication || publication.isFenced || publication.isDoubtful) return []
    const commands: Command[] = []
    const key = streamKey(runId)
    const first = firstSeq(publication.attempt)
    const { json, count } = packEvents(this.log.entries(runId, publication.until))
    if (count > 0) {
      const until = publication.until + count
      // Only the first entry of an attempt may create the stream, or it could begin in the middle.
      const mayCreate = publication.until < first
      pipeline.xadd(key, ...(mayCreate ? [] : ['NOMKSTREAM']), 'MAXLEN', '~', MAX_LENGTH, `${until}-0`, 'e', json)
      commands.push({ publication, until })
      if (mayCreate && publication.attempt > 1) {
        pipeline.xtrim(key, 'MINID', first)
        commands.push({ publication })
      }
    }
    const isEnded = this.log.hasEnded(runId)
    if (isEnded || Date.now() > publication.expires) {
      pipeline.expire(key, isEnded ? this.keepEndedSeconds : STREAM_SECONDS)
      commands.push({ publication, expires: Date.now() + RENEW_MS })
    }
    return commands
  }

  /** The publication of a run; that of a run whose attempt was never opened begins with its first event. */
  #find (runId: string): Publication | undefined {
    const publication = this.#publications.get(runId)
    if (publication) return publication
    const last = this.log.last(runId)
    return last === undefined ? undefined : this.open(runId, attemptOf(last))
  }

  /** Handles the answer to an entry. Returns false if Redis did not accept it and should be left alone for a while. */
  async #confirm (publication: Publication, until: number, error: Error | null, result: unknown): Promise<boolean> {
    const { runId, attempt } = publication
    if (error?.message.includes('equal or smaller')) return this.#catchUp(publication)
    if (error) {
      this.#unsent.add(runId)
      return false
    }
    // Null: the stream is gone, and is written again from the beginning.
    if (result === null) this.open(runId, attempt)
    else publication.until = until
    if (result === null || until < (this.log.last(runId) ?? 0)) this.#unsent.add(runId)
    return true
  }

  /**
   * Reads how far the stream is. It may be ahead, if the answer to an entry was lost; behind, if Redis has lost entries; or
   * continued by a later attempt. Returns false if Redis did not answer.
   */
  async #catchUp (publication: Publication): Promise<boolean> {
    const { runId, attempt } = publication
    const last = await this.redis.xrevrange(streamKey(runId), '+', '-', 'COUNT', 1).catch(() => undefined)
    this.#unsent.add(runId)
    if (!last) return false
    const top = Number(last[0]?.[0].split('-')[0] ?? 0)
    publication.isDoubtful = false
    publication.isFenced = attemptOf(top) > attempt
    publication.until = top >= firstSeq(attempt) ? Math.min(top, this.log.last(runId) ?? top) : firstSeq(attempt) - 1
    return true
  }
}
