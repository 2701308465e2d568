import type { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { errors } from '#shared/errors.ts'
import type { Hold, MemoryShare } from '../lib/memory/memory-share.js'

/** How long a body or message waits for memory. */
const MAX_WAIT_MS = 15_000
/** How long a client has to take an answer that memory is held for: others need it. */
const TAKE_MS = 60_000
/** Seconds after which a refused caller tries again. */
const RETRY_SECONDS = 5

/** How many may wait at a time. */
export interface WaitLimits { ofCaller: number, inAll: number }

/** A body that waits is not read: it takes a connection. */
export const WAITING_BODIES: WaitLimits = { ofCaller: 64, inAll: 1000 }
/** A message that waits is in memory, though not on the heap. */
export const WAITING_MESSAGES: WaitLimits = { ofCaller: 2, inAll: 16 }

/**
 * Takes memory for a body or a message, as soon as it is free.
 * @param connection emits `close` when the client has gone.
 * @throws {ServiceError} server_busy, where it does not become free in time or too many wait, or the client has gone.
 */
export function takeMemory (share: MemoryShare, caller: string, bytes: number, connection: EventEmitter, limits: WaitLimits): Promise<Hold> {
  const free = share.tryTake(caller, bytes)
  if (free) return Promise.resolve(free)
  if (share.waitingOf(caller) >= limits.ofCaller || share.waiting >= limits.inAll) return Promise.reject(busy())
  return new Promise((resolve, reject) => {
    let isOver = false
    const wait = share.take(caller, bytes)
    const end = () => {
      isOver = true
      clearTimeout(timer)
      connection.off('close', giveUp)
    }
    const giveUp = () => {
      end()
      wait.cancel()
      reject(busy())
    }
    const timer = setTimeout(giveUp, MAX_WAIT_MS)
    connection.once('close', giveUp)
    wait.held.then(hold => {
      if (isOver) return hold.release()
      end()
      resolve(hold)
    })
  })
}

/**
 * The same for an answer: until it is released, or the client has taken it or has gone. A client that does not take it in time is cut off.
 * @param takeMs how long it has.
 */
export async function holdMemory (
  share: MemoryShare, caller: string, bytes: number, response: ServerResponse, limits: WaitLimits, takeMs = TAKE_MS
): Promise<Pick<Hold, 'release'>> {
  const hold = await takeMemory(share, caller, bytes, response, limits)
  const timer = setTimeout(() => response.destroy(), takeMs).unref()
  const release = () => {
    clearTimeout(timer)
    hold.release()
  }
  response.once('close', release)
  if (response.closed) release()
  return { release }
}

function busy () {
  return errors.serverBusy().with({ retryAfter: RETRY_SECONDS })
}
