import type { RunInPlace } from '../runs/local-run.ts'
import { eventsOf, type Ended } from '../run.ts'
import { encodeReconnect, encodeSse, FrameScanner, PING_MS, SSE_DONE, SSE_PING } from './sse.ts'

type Bytes = Uint8Array<ArrayBuffer>

/** Where the reader of a stream goes on that ends before its run does, and when that is, in milliseconds since 1970. */
export interface HandOver { runId: string, url: string, deadline: number }

const POLL_MS = 1_000

/** A backend's stream, whole frame by whole frame; where it ends before its run, or the deadline comes, the reader is sent on. */
export function passOn (body: ReadableStream<Bytes>, after: number, { runId, url, deadline }: HandOver): ReadableStream<Bytes> {
  const reader = body.getReader()
  const scanner = new FrameScanner(after)
  const { promise: timeIsUp, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), deadline - Date.now())

  /** The next frames that are whole; undefined: there are no more, or no more time. */
  async function next (): Promise<Bytes[] | undefined> {
    for (;;) {
      const read = await Promise.race([reader.read().catch(() => undefined), timeIsUp])
      if (!read?.value) return undefined
      const frames = scanner.push(read.value)
      if (frames.length > 0) return frames
    }
  }

  return new ReadableStream({
    async pull (controller) {
      const frames = await next()
      if (frames) return frames.forEach(bytes => controller.enqueue(bytes))
      clearTimeout(timer)
      if (!scanner.isDone) controller.enqueue(encodeReconnect(scanner.lastSeq, runId, url))
      controller.close()
      await reader.cancel().catch(() => {})
    },
    cancel (reason) {
      clearTimeout(timer)
      return reader.cancel(reason)
    }
  })
}

/** A run of this isolate, after event `after`; its reader may leave, and the run does not mind. */
export function streamInPlace (run: RunInPlace, after: number, url: string): ReadableStream<Bytes> {
  return open(out => {
    let last = after
    const tell = () => {
      for (; last < run.events.length; last++) out.write(encodeSse(last + 1, run.events[last]))
    }
    const unlisten = run.listen(tell)
    tell()
    run.outcome.then(outcome => {
      unlisten()
      out.end('run' in outcome ? SSE_DONE : encodeReconnect(last, run.runId, url))
    })
  })
}

/** A run that is under way elsewhere: all of it when it has ended. */
export function streamWhenEnded (findEnded: () => Promise<Ended | undefined>, { runId, url, deadline }: HandOver): ReadableStream<Bytes> {
  return open(async out => {
    const ended = await pollUntil(deadline, findEnded, () => out.isOpen)
    if (!ended) return out.end(encodeReconnect(0, runId, url))
    for (const frame of framesOf(ended, 0)) out.write(frame)
    out.end(SSE_DONE)
  })
}

/** Looks once a second; undefined: it is not there by the deadline, or nobody waits any more. */
export async function pollUntil<T> (deadline: number, find: () => Promise<T | undefined>, isWanted = () => true): Promise<T | undefined> {
  while (isWanted()) {
    // A database that is away is asked again.
    const found = await find().catch(() => undefined)
    if (found || Date.now() + POLL_MS > deadline) return found
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
}

/** A finished run as it was told, after event `after`. */
export function streamFinished (ended: Ended, after: number): ReadableStream<Bytes> {
  return open(out => {
    for (const frame of framesOf(ended, after)) out.write(frame)
    out.end(SSE_DONE)
  })
}

/** Nothing but where the run is to be followed. */
export function streamElsewhere (runId: string, url: string): ReadableStream<Bytes> {
  return open(out => out.end(encodeReconnect(0, runId, url)))
}

function framesOf (ended: Ended, after: number): Bytes[] {
  return eventsOf(ended).filter(({ seq }) => seq > after).map(({ seq, event }) => encodeSse(seq, event))
}

/** A stream that is written to as things happen, and pings while nothing does. */
function open (write: (out: Output) => void): ReadableStream<Bytes> {
  let out: Output
  return new ReadableStream({
    start (controller) {
      out = new Output(controller)
      write(out)
    },
    cancel () { out.close() }
  })
}

/** To a reader who has left nothing is written. */
class Output {
  isOpen = true
  #pings = setInterval(() => this.write(SSE_PING), PING_MS)

  constructor (private readonly controller: ReadableStreamDefaultController<Bytes>) {}

  write (bytes: Bytes): void {
    if (this.isOpen) this.controller.enqueue(bytes)
  }

  end (bytes: Bytes): void {
    if (!this.isOpen) return
    this.write(bytes)
    this.close()
    this.controller.close()
  }

  close (): void {
    this.isOpen = false
    clearInterval(this.#pings)
  }
}
