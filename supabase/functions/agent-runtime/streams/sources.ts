import { firstSeq } from '../../_shared/event-number.ts'
import { type EndedRun, eventsOf } from '../../_shared/trace.ts'
import type { LocalRun } from '../runs/local-run.ts'
import type { Bytes, Frames } from './frame.ts'
import { toFrame } from './frame.ts'
import { FrameScanner } from './frame-scanner.ts'
import { pause, POLL_MS } from './poll.ts'

/** Where the rest of a run can be had when a source of it has ended. */
export interface Rest {
  /** Asks the backend for the events after an event; undefined if there is none or it does not have them. */
  ask (after: number, signal: AbortSignal): Promise<Response | undefined>
  /** Asks the database; undefined if the run has not ended. */
  findEnded (): Promise<EndedRun | undefined>
}

/** The frames of a stream. It is over when its run has ended, when it breaks, and when the signal is aborted. */
export async function * framesOfBody (body: ReadableStream<Bytes>, signal: AbortSignal): Frames {
  const reader = body.getReader()
  const scanner = new FrameScanner()
  const leave = () => { reader.cancel().catch(() => {}) }
  signal.addEventListener('abort', leave)
  try {
    while (!signal.aborted) {
      const { value } = await reader.read().catch(() => ({ value: undefined }))
      if (!value) break
      const frames = scanner.push(value)
      if (frames.length > 0) yield frames
    }
    return scanner.isDone
  } finally {
    signal.removeEventListener('abort', leave)
    leave()
  }
}

/** The frames of a run of this isolate after event `after`. It ends in time by itself, and goes on if its reader leaves. */
export async function * framesOfLocalRun (run: LocalRun, after: number): Frames {
  let last = after
  let hasEnded: boolean | undefined
  let wake = () => {}
  const unlisten = run.listen(() => wake())
  run.outcome.then(outcome => {
    hasEnded = 'run' in outcome
    wake()
  })
  try {
    for (;;) {
      const woken = new Promise<void>(resolve => { wake = resolve })
      const events = run.events.slice(last)
      if (events.length > 0) yield events.map((event, index) => toFrame({ seq: last + index + 1, event }))
      last += events.length
      if (last < run.events.length) continue
      if (hasEnded !== undefined) return hasEnded
      await woken
    }
  } finally {
    unlisten()
  }
}

/** The frames of a run that has ended, after event `after`. */
export async function * framesOfEnded (ended: EndedRun, after: number): Frames {
  const first = firstSeq(ended.run.attempt)
  const frames = eventsOf(ended).map((event, index) => toFrame({ seq: first + index, event }))
  const rest = frames.filter(({ seq }) => seq > after)
  // Without a trace the end has the number that some other event had.
  const isUntold = rest.length === 0 && ended.trace === null
  yield isUntold ? [toFrame({ seq: after + 1, event: frames.at(-1)!.event! })] : rest
  return true
}

/** A source that ends at once: the run is elsewhere. */
export async function * framesOfNothing (): Frames {
  return false
}

/** The frames of a run that ends elsewhere, all of them once it has ended, until the signal is aborted. */
export async function * framesWhenEnded ({ findEnded }: Rest, signal: AbortSignal): Frames {
  return yield * framesOfRest({ findEnded, ask: async () => undefined }, 0, signal)
}

/** The frames of a run from wherever they can be had, until the signal is aborted. */
async function * framesOfRest ({ ask, findEnded }: Rest, after: number, signal: AbortSignal): Frames {
  let last = after
  while (!signal.aborted) {
    const response = await ask(last, signal).catch(() => undefined)
    if (response?.body) {
      const source = framesOfBody(response.body as ReadableStream<Bytes>, signal)
      for (let next = await source.next(); ; next = await source.next()) {
        if (next.done && next.value) return true
        if (next.done) break
        last = next.value.at(-1)!.seq || last
        yield next.value
      }
    }
    // A database that is unavailable is asked again.
    const ended = await findEnded().catch(() => undefined)
    if (ended) return yield * framesOfEnded(ended, last)
    await pause(POLL_MS, signal)
  }
  return false
}

/** The frames of a source and, if it ends before the run does, those of the rest. */
export async function * framesToTheEnd (source: Frames, rest: Rest, signal: AbortSignal): Frames {
  let last = 0
  for (let next = await source.next(); ; next = await source.next()) {
    if (next.done && next.value) return true
    if (next.done) break
    last = next.value.at(-1)?.seq || last
    yield next.value
  }
  return yield * framesOfRest(rest, last, signal)
}
