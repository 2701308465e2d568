/** How many milliseconds all pieces of work together may take before the event loop turns. */
const SLICE = 5

let used = 0
let isTurnDue = false
let waiting: Array<() => void> = []

/**
 * Does a piece of synchronous work, in a later turn of the event loop if other pieces have taken this one's time already.
 * For work that callers can ask for in any amount: it goes on for a few milliseconds a turn, and between the turns the
 * process does everything else.
 * @param work what it returns after its first `await` is not counted.
 */
export async function inTurn<T> (work: () => T | Promise<T>): Promise<T> {
  while (isUsed()) await new Promise<void>(resolve => { waiting.push(resolve) })
  return measured(work)
}

function isUsed (): boolean {
  return used >= SLICE
}

function measured<T> (work: () => T): T {
  const startedAt = performance.now()
  try {
    return work()
  } finally {
    used += performance.now() - startedAt
    if (!isTurnDue) {
      isTurnDue = true
      setTimeout(beginTurn, 0)
    }
  }
}

function beginTurn (): void {
  used = 0
  isTurnDue = false
  const woken = waiting
  waiting = []
  for (const resolve of woken) resolve()
}
