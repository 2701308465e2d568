import type { EventLog } from '../executor/events/event-log.js'
import { streamKey } from './keys.js'
import { unpackEvents } from './run-stream.js'
import type { StreamReader } from './stream-reader.js'

/** Copies the events of runs that other processes execute from their streams into this process's log, for its readers. */
export class StreamMirror {
  /** Per mirrored run, the function that stops watching its stream. */
  #mirrored = new Map<string, () => void>()

  constructor (private readonly streams: StreamReader, private readonly log: Pick<EventLog, 'ingest' | 'hasEnded'>) {}

  /** Mirrors a run until it ends or `stop` is called. Does nothing if it is mirrored already. */
  start (runId: string): void {
    if (this.#mirrored.has(runId)) return
    const unwatch = this.streams.watch(streamKey(runId), '0', entries => {
      for (const entry of entries) {
        const events = unpackEvents(entry)
        this.log.ingest(runId, events[0]!.seq, events.map(({ event }) => event))
      }
      if (this.log.hasEnded(runId)) this.stop(runId)
    })
    this.#mirrored.set(runId, unwatch)
  }

  stop (runId: string): void {
    this.#mirrored.get(runId)?.()
    this.#mirrored.delete(runId)
  }
}
