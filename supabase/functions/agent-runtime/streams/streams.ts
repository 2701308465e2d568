import { firstSeq } from '../../_shared/event-number.ts'
import { encodeSseWithDelta } from '../../_shared/http/delta-frames.ts'
import { encodeReconnect, PING_MS, SSE_DONE, SSE_PING } from '../../_shared/http/sse.ts'
import { type EndedRun, eventsOf } from '../../_shared/trace.ts'
import type { LocalRun } from '../runs/local-run.ts'
import { FrameScanner } from './frame-scanner.ts'

type Bytes = Uint8Array<ArrayBuffer>

/** Where readers of a stream resume if it ends before its run, and when it has to end, in milliseconds since 1970. */
export interface ReconnectTarget { runId: string, url: string, deadline: number }

const POLL_MS = 1_000

const encoder = new TextEncoder()

/** Relays a backend's stream in whole frames. If it ends before its run, or at the deadline, the reader is told to reconnect. */
export function relay (body: ReadableStream<Bytes>, after: number, { runId, url, deadline }: ReconnectTarget): ReadableStream<Bytes> {
  const reader = body.getReader()
  const scanner = new FrameScanner(after)
  const { promise: timeIsUp, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), deadline - Date.now())

  /** The next whole frames; undefined at the end of the stream and at the deadline. */
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
      if (!scanner.isDone) controller.enqueue(encoder.encode(encodeReconnect(scanner.lastSeq, { runId, url })))
      controller.close()
      await reader.cancel().catch(() => {})
    },
    cancel (reason) {
      clearTimeout(timer)
      return reader.cancel(reason)
    }
  })
}

/** The events of a run of this isolate after event `after`. The run goes on if its reader leaves. */
export function streamLocalRun (run: LocalRun, after: number, url: string): ReadableStream<Bytes> {
  return open(out => {
    let last = after
    const emit = () => {
      for (; last < run.events.length; last++) out.write(encodeSseWithDelta(last + 1, run.events[last]))
    }
    const unlisten = run.listen(emit)
    emit()
    run.outcome.then(outcome => {
      unlisten()
      out.end('run' in outcome ? SSE_DONE : encodeReconnect(last, { runId: run.runId, url }))
    })
  })
}

/** The events of a run that another process runs, all of them once it has ended. */
export function streamWhenEnded (findEnded: () => Promise<EndedRun | undefined>, { runId, url, deadline }: ReconnectTarget): ReadableStream<Bytes> {
  return open(async out => {
    const ended = await pollUntil(deadline, findEnded, () => out.isOpen)
    if (!ended) return out.end(encodeReconnect(0, { runId, url }))
    writeEvents(out, ended, 0)
    out.end(SSE_DONE)
  })
}

/** Calls `find` once a second. Returns undefined if it finds nothing by the deadline, or if the result is no longer wanted. */
export async function pollUntil<T> (deadline: number, find: () => Promise<T | undefined>, isWanted = () => true): Promise<T | undefined> {
  while (isWanted()) {
    // A database that is unavailable is asked again.
    const found = await find().catch(() => undefined)
    if (found || Date.now() + POLL_MS > deadline) return found
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
}

/** The events of a finished run after event `after`. */
export function streamFinished (ended: EndedRun, after: number): ReadableStream<Bytes> {
  return open(out => {
    writeEvents(out, ended, after)
    out.end(SSE_DONE)
  })
}

/** A stream that only tells its reader where to reconnect. */
export function streamReconnect (runId: string, url: string): ReadableStream<Bytes> {
  return open(out => out.end(encodeReconnect(0, { runId, url })))
}

function writeEvents (out: Output, ended: EndedRun, after: number): void {
  const first = firstSeq(ended.run.attempt)
  for (const [index, event] of eventsOf(ended).entries()) {
    if (first + index > after) out.write(encodeSseWithDelta(first + index, event))
  }
}

/** A stream that is written to as events occur, with pings in between. */
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

/** The writing end of a stream. After its reader has left it ignores what is written. */
class Output {
  isOpen = true
  #pings = setInterval(() => this.write(SSE_PING), PING_MS)

  constructor (private readonly controller: ReadableStreamDefaultController<Bytes>) {}

  write (frame: string): void {
    if (this.isOpen) this.controller.enqueue(encoder.encode(frame))
  }

  end (frame: string): void {
    if (!this.isOpen) return
    this.write(frame)
    this.close()
    this.controller.close()
  }

  close (): void {
    this.isOpen = false
    clearInterval(this.#pings)
  }
}
