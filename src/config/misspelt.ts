import { VARIABLES } from './environment.js'

/** Shorter names are near to those of other programs. */
const MIN_LENGTH = 8
/** Of so many characters one may be wrong. */
const LENGTH_OF_FAULT = 6
/** How many characters at one end of a name are right. */
const SAME_END = 3
/** So many are told. */
const MAX_TOLD = 10

const NAMES = Object.entries(VARIABLES)
  .filter(([name, { readBy }]) => name.length >= MIN_LENGTH && (readBy as readonly string[]).some(reader => reader !== 'tests'))
  .map(([name]) => name)

/** Finds names that are probably meant to be ours: each with the name of a variable that is nearly the same, and not set. */
export function findMisspelt (names: readonly string[]): Array<{ name: string, meant: string }> {
  const missing = NAMES.filter(name => !names.includes(name))
  return names
    .filter(name => !Object.hasOwn(VARIABLES, name))
    .flatMap(name => {
      const meant = nearest(name.toUpperCase().replaceAll('-', '_'), missing)
      return meant ? [{ name, meant }] : []
    })
    .slice(0, MAX_TOLD)
}

function nearest (name: string, candidates: readonly string[]): string | undefined {
  let found: string | undefined
  let least = Infinity
  for (const candidate of candidates) {
    const isAlike = candidate.startsWith(name.slice(0, SAME_END)) || candidate.endsWith(name.slice(-SAME_END))
    const most = Math.floor(candidate.length / LENGTH_OF_FAULT)
    if (!isAlike || Math.abs(candidate.length - name.length) > most) continue
    const faults = distance(name, candidate)
    if (faults <= most && faults < least) [found, least] = [candidate, faults]
  }
  return found
}

/** How many characters have to be added, removed, replaced or swapped with their neighbour to make one text of the other. */
export function distance (a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1]
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      current.push(Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (isSame ? 0 : 1), isSwapped ? beforeLast[column - 2]! + 1 : Infinity))
    }
    [beforeLast, last] = [last, current]
  }
  return last[b.length]!
}
