import type { Erasure } from '../../administration/administration.js'
import { withBackend } from './open.js'
import { print, readId, readNumber } from './subcommands.js'

/** Options of what lists. */
export const PAGE = {
  limit: { type: 'string', value: '<n>', default: '20', does: 'how many, 100 at the most' },
  cursor: { type: 'string', value: '<id>', does: 'goes on behind this one' }
} as const

/** Options of what erases. */
export const OLDER_THAN = {
  'older-than': { type: 'string', value: '<days>', default: '0', does: 'only of runs that ended so many days ago' }
} as const

export function readPage ({ limit, cursor }: { limit: string, cursor?: string }): { limit: number, cursor?: string } {
  return { limit: readNumber('--limit', limit, { min: 1, max: 100 }), cursor: cursor === undefined ? undefined : readId('--cursor', cursor) }
}

interface EraseOptions { 'older-than': string, service?: string, json: boolean }

/** Erases a batch after the other, and prints how much there was. */
export async function eraseAll (values: EraseOptions, erasureOf: (olderThanDays: number) => Erasure): Promise<void> {
  const erasure = erasureOf(readNumber('--older-than', values['older-than'], { min: 0, max: 36_500, whole: false }))
  const sum = { erased: 0, firings: 0 }
  await withBackend(values.service, async backend => {
    for (;;) {
      const { erased, firings, more } = await backend.eraseRuns(erasure)
      sum.erased += erased
      sum.firings += firings
      if (!more) return
      process.stderr.write(`${sum.erased} runs …\n`)
    }
  })
  print(values.json ? JSON.stringify(sum) : `erased the texts of ${sum.erased} runs and ${sum.firings} firings`)
}
