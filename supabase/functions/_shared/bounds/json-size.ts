/** Levels. Code that walks or serializes deeper values may overflow its stack. */
const MAX_DEPTH = 100

/**
 * The size of a JSON value in UTF-16 units, at most that of its JSON. It is found without recursion, and the search ends
 * as soon as there is too much.
 * @returns undefined if the value has more than `max` units, or more than 100 levels.
 */
export function jsonSizeWithin (value: unknown, max: number): number | undefined {
  let size = 0
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return undefined
    const next: unknown[] = []
    for (const item of level) {
      size += ownSize(item)
      if (size > max) return undefined
      if (typeof item !== 'object' || item === null) continue
      const isArray = Array.isArray(item)
      for (const [key, member] of Object.entries(item)) {
        if (!isArray) size += key.length + 3
        next.push(member)
      }
      if (size + next.length > max) return undefined
    }
    level = next
  }
  return size
}

function ownSize (value: unknown): number {
  return typeof value === 'string' ? value.length + 2 : 1
}
