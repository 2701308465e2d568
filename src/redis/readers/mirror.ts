import { attemptOf } from '#shared/event-number.ts'
import type { EventLog } from '../../executor/events/event-log.js'
import { streamKey } from '../keys.js'
import { unpackEvents } from '../run-stream.js'
import type { StreamReader } from '../stream-reader.js'
import type { Inbox } from './inbox.js'
import { eventsOf, type Here, type Told } from './messages.js'
import { Looks, type RunRegistry } from './looks.js'
import { Wants } from './wants.js'

/** How often what is wanted is said again. */
const RENEW_MS = 1_000
/** How long the process that makes a run may be silent about it before it is looked up whether it still does. */
const SILENCE_MS = 5_000

/** A run that is read here and made elsewhere, if it is made. */
interface RemoteRun {
  readonly runId: string
  /** The process that is asked for it. */
  owner?: string
  /** A process that has said that it does not have the run. */
  refusedBy?: string
  /** Whether the owner has answered. */
  isSettled: boolean
  /** Whether the run has ended according to the database. */
  hasEnded?: boolean
  /** When something was heard of it, by `performance.now()`. */
  heardAt: number
  /** Stops reading the run's stream, which it has while no process makes it. */
  unwatch?: () => void
  /** Resolved with true when all is known that the owner knew when it answered. */
  readonly waiting: Array<(isCaughtUp: boolean) => void>
}

export interface MirrorOptions {
  inbox: Inbox
  streams: StreamReader
  registry: RunRegistry
  log: Pick<EventLog, 'ingest' | 'hasEnded' | 'last'>
}

/** Copies the events of runs that other processes make into this process's log, for its readers. */
export class StreamMirror {
  readonly #remotes = new Map<string, RemoteRun>()
  readonly #wants: Wants
  readonly #looks: Looks
  readonly #timer: NodeJS.Timeout

  constructor (private readonly options: MirrorOptions) {
    const { inbox, log, registry } = options
    this.#wants = new Wants(inbox, {
      lastOf: runId => log.last(runId) ?? 0,
      onTold: told => this.#take(told),
      onLost: (owner, runIds) => this.#lose(owner, runIds)
    })
    this.#looks = new Looks(registry, inbox.name, {
      isWanted: runId => this.#remotes.has(runId),
      refusedBy: runId => this.#remotes.get(runId)?.refusedBy,
      onOwner: ({ runId, owner, hasEnded }) => this.#ask(runId, owner, hasEnded),
      onNobody: runIds => this.#miss(runIds)
    })
    inbox.on('open', this.#restart)
    this.#timer = setInterval(() => this.#renew(), RENEW_MS).unref()
  }

  /** Mirrors a run until it ends or `stop` is called. Does nothing if it is mirrored already. */
  start (runId: string): void {
    if (this.#remotes.has(runId)) return
    this.#remotes.set(runId, { runId, isSettled: false, heardAt: performance.now(), waiting: [] })
    this.#looks.add(runId, true)
  }

  stop (runId: string): void {
    const remote = this.#remotes.get(runId)
    if (!remote) return
    this.#remotes.delete(runId)
    remote.unwatch?.()
    if (remote.owner) this.#wants.drop(remote.owner, runId)
    for (const resolve of remote.waiting) resolve(this.options.log.hasEnded(runId))
  }

  /** Resolves to true once all that a mirrored run's process has is known here; to false if it does not answer for so long. */
  catchUp (runId: string, ms: number): Promise<boolean> {
    return new Promise(resolve => {
      const remote = this.#remotes.get(runId)
      if (!remote) return resolve(this.options.log.hasEnded(runId))
      const timer = setTimeout(() => resolve(false), ms)
      remote.waiting.push(isCaughtUp => {
        clearTimeout(timer)
        resolve(isCaughtUp)
      })
      // What is known from others may be behind: asks again.
      if (remote.owner) this.#wants.add(remote.owner, runId)
    })
  }

  /** A frame of the inbox. */
  takePart (frame: string): boolean { return this.#wants.takePart(frame) }

  take (message: Parameters<Wants['take']>[0], size: number): void {
    if (message.kind === 'here') this.#find(message)
    else this.#wants.take(message, size)
  }

  close (): void {
    clearInterval(this.#timer)
    this.options.inbox.off('open', this.#restart)
    this.#wants.close()
    this.#looks.close()
    for (const runId of [...this.#remotes.keys()]) this.stop(runId)
  }

  /** What was sent here while the inbox was not open is lost. */
  readonly #restart = (): void => {
    this.#wants.restartAll()
    this.#renew()
  }

  #renew (): void {
    this.#wants.renew()
    const now = performance.now()
    const remotes = [...this.#remotes.values()]
    this.#seek(remotes.filter(({ isSettled }) => !isSettled).map(({ runId }) => runId))
    for (const remote of remotes) {
      if (!remote.isSettled || now - remote.heardAt < SILENCE_MS) continue
      remote.heardAt = now
      this.#looks.add(remote.runId)
    }
    this.#looks.renew(remotes.filter(({ isSettled }) => !isSettled).map(({ runId }) => runId))
  }

  /** Asks a process for a run, which has it according to the database or to itself; again, if it should know of the end. */
  #ask (runId: string, owner: string, hasEnded = false): void {
    const remote = this.#remotes.get(runId)
    if (!remote || (remote.owner === owner && remote.isSettled && !hasEnded)) return
    if (remote.owner && remote.owner !== owner) this.#wants.drop(remote.owner, runId)
    Object.assign(remote, { owner, hasEnded, isSettled: false })
    this.#wants.add(owner, runId)
  }

  /** No living process has these runs as far as the database knows. One that is only slow goes on telling of them. */
  #miss (runIds: string[]): void {
    for (const runId of runIds) {
      const remote = this.#remotes.get(runId)!
      remote.isSettled = false
      for (const resolve of remote.waiting.splice(0)) resolve(false)
    }
    this.#seek(runIds)
  }

  /** Asks all processes for runs that none has as far as is known, and reads what lies in their streams meanwhile. */
  #seek (runIds: string[]): void {
    if (runIds.length === 0) return
    for (const runId of runIds) this.#watch(this.#remotes.get(runId))
    const { inbox } = this.options
    if (inbox.isOpen) inbox.broadcast({ kind: 'seek', from: inbox.name, runs: runIds }).catch(() => {})
  }

  #watch (remote: RemoteRun | undefined): void {
    if (!remote || remote.isSettled) return
    const { streams, log } = this.options
    const { runId } = remote
    remote.unwatch ??= streams.watch(streamKey(runId), '0', entries => {
      for (const entry of entries) {
        const events = unpackEvents(entry)
        log.ingest(runId, events[0]!.seq, events.map(({ event }) => event))
      }
      if (log.hasEnded(runId)) this.stop(runId)
    })
  }

  /** Processes have said that they make runs. */
  #find ({ from, runs }: Here): void {
    for (const [runId, attempt] of runs) {
      const remote = this.#remotes.get(runId)
      if (!remote || attempt < attemptOf(this.options.log.last(runId) ?? 1)) continue
      remote.refusedBy = undefined
      this.#ask(runId, from)
    }
  }

  #take ({ from, runs, gone }: Told): void {
    const { log } = this.options
    for (const told of runs) {
      const [runId, first, events, last] = told
      const remote = this.#remotes.get(runId)
      if (remote?.owner !== from) continue
      this.#settle(remote)
      if (events.length > 0) log.ingest(runId, first, eventsOf(told))
      const known = log.last(runId) ?? 0
      if (log.hasEnded(runId)) this.stop(runId)
      // It was wanted anew meanwhile, from another event on, or the other process is wrong: it answers that in order.
      else if (known < first + events.length - 1) this.#wants.add(from, runId)
      else if (known >= last) this.#catchUp(remote)
    }
    this.#lose(from, gone)
  }

  /** All is known here that the run's process knows; if that is not the end which the run has had, the database tells it. */
  #catchUp (remote: RemoteRun): void {
    if (remote.hasEnded) remote.isSettled = false
    for (const resolve of remote.waiting.splice(0)) resolve(true)
  }

  #settle (remote: RemoteRun): void {
    remote.heardAt = performance.now()
    remote.isSettled = true
    remote.unwatch?.()
    remote.unwatch = undefined
  }

  /** A process does not have runs any more, or is not there. */
  #lose (owner: string, runIds: readonly string[]): void {
    const lost = runIds.filter(runId => this.#remotes.get(runId)?.owner === owner)
    for (const runId of lost) {
      Object.assign(this.#remotes.get(runId)!, { owner: undefined, refusedBy: owner, isSettled: false })
      this.#wants.drop(owner, runId)
      this.#looks.add(runId, true)
    }
    this.#seek(lost)
  }
}
