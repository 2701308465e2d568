import { errors, restoreError, type ServiceError } from '../../_shared/errors.ts'
import { encodeCutOff, encodeReconnect, PING_MS, SSE_DONE, SSE_PING } from '../../_shared/http/sse.ts'
import type { KnownEvents } from '../../_shared/reader/known-events.ts'
import { describe, log } from '../http/log.ts'
import { eventStream } from '../http/responses.ts'
import { type Bytes, encode, eventOf, type Frame, type Frames } from './frame.ts'
import { framesToTheEnd, type Rest } from './sources.ts'
import { Teller } from './teller.ts'

/** How a caller is told a run. */
export interface Telling {
  readonly runId: string
  /** The last event that the caller has; by default none. */
  readonly after?: number
  readonly known: KnownEvents
  /** Whether callers that read OpenAI's deltas are to understand the frames too. */
  readonly deltas?: boolean
  /** How long the head may wait for the first output of a run that is told to a plain reader, in milliseconds; by default it does not. */
  readonly headMs?: number
  /** Where callers that know `reconnect` go on if the stream ends before its run. */
  readonly url: string
  /** Where the rest comes from for all others, as long as this request may last. */
  readonly rest: Rest
  /** When the stream has to end, in milliseconds since 1970. */
  readonly deadline: number
}

/** The event after which a source has to begin, which is the first where all text is needed to know what the caller has. */
export function firstOf ({ known }: Pick<Telling, 'known'>, after: number): number {
  return known.has('rewind') ? after : 0
}

/**
 * Answers with a run's events.
 * @param open opens the source of the first of them.
 * @throws {ServiceError} to a plain reader: the error of a run that fails before its first output, if the head waits for it;
 * connection_ended, if the time is over before.
 */
export async function tell (open: (signal: AbortSignal) => Frames, telling: Telling): Promise<Response> {
  const { known, headMs = 0, rest, runId, deadline } = telling
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(), deadline - Date.now())
  const stop = () => {
    clearTimeout(timer)
    over.abort()
  }
  const source = open(over.signal)
  const frames = known.has('reconnect') ? source : framesToTheEnd(source, rest, over.signal)
  try {
    const held = known.size === 0 && headMs > 0 ? await holdHead(frames, headMs, runId) : { frames: [] }
    return eventStream(stream(frames, held, telling, stop), runId)
  } catch (error) {
    stop()
    throw error
  }
}

/** What was read before the head is sent: frames, and the read that is under way. */
interface Held { frames: Frame[], pending?: ReturnType<Frames['next']> }

/** Reads until the first output, or for as long as the head may wait. */
async function holdHead (frames: Frames, ms: number, runId: string): Promise<Held> {
  let end = () => {}
  const isLate = new Promise<'late'>(resolve => {
    const timer = setTimeout(() => resolve('late'), ms)
    end = () => clearTimeout(timer)
  })
  const held: Frame[] = []
  try {
    for (;;) {
      const pending = frames.next()
      const next = await Promise.race([pending, isLate])
      if (next === 'late') return { frames: held, pending }
      if (next.done) {
        if (!next.value && !held.some(isOutput)) throw errors.connectionEnded().with({ runId })
        return { frames: held, pending: Promise.resolve(next) }
      }
      held.push(...next.value)
      const first = held.find(frame => isOutput(frame) || isFailure(frame))
      if (first && isFailure(first)) throw errorOf(first, runId)
      if (first) return { frames: held }
    }
  } finally {
    end()
  }
}

function isOutput ({ type }: Frame): boolean {
  return type === 'chunk' || type === 'done'
}

function isFailure ({ type }: Frame): boolean {
  return type === 'error' || type === 'cancelled'
}

function errorOf (frame: Frame, runId: string): ServiceError {
  const event = eventOf(frame)
  const error = event.type === 'error' ? restoreError(event.code ?? 'backend_failed', event.error) : errors.runCancelled()
  return error.with({ runId })
}

/** The stream of what the caller is told, with pings in between, and a goodbye if it ends before the run. */
function stream (frames: Frames, held: Held, { runId, url, known, deltas, after = 0 }: Telling, stop: () => void): ReadableStream<Bytes> {
  const teller = new Teller(known, after, deltas)
  let pings: ReturnType<typeof setInterval>
  let early: Frame[] | undefined = held.frames
  let { pending } = held

  async function next (): Promise<{ frames: Frame[] } | { isWhole: boolean }> {
    if (early) {
      const frames = early
      early = undefined
      return { frames }
    }
    const { done, value } = await (pending ?? frames.next())
    pending = undefined
    return done ? { isWhole: value } : { frames: value }
  }

  function goodbye (isWhole: boolean): string {
    if (isWhole) return SSE_DONE
    return known.has('reconnect') ? encodeReconnect(teller.told, { runId, url }) : encodeCutOff(runId)
  }

  function end (controller: ReadableStreamDefaultController<Bytes>, isWhole: boolean): void {
    clearInterval(pings)
    stop()
    controller.enqueue(encode(goodbye(isWhole)))
    controller.close()
  }

  return new ReadableStream({
    start (controller) {
      pings = setInterval(() => controller.enqueue(encode(SSE_PING)), PING_MS)
    },
    async pull (controller) {
      try {
        for (;;) {
          const read = await next()
          if ('isWhole' in read) return end(controller, read.isWhole)
          const bytes = read.frames.flatMap(frame => teller.tell(frame))
          for (const one of bytes) controller.enqueue(one)
          if (bytes.length > 0) return
        }
      } catch (error) {
        // A backend may send what is no event. The stream ends with a word, and its timer with it: a ping would end the isolate.
        log('error', 'a stream could not be told', { cause: describe(error), runId })
        frames.return(false).catch(() => {})
        end(controller, false)
      }
    },
    cancel () {
      clearInterval(pings)
      stop()
      frames.return(false)
    }
  })
}
