import t from 'tap'
import { findPostgres, POSTGRES_URL } from '../support/helper.js'
import { besiege } from './siege.js'

// A short version of `npm run siege`, with real processes.

t.test('what one attacker does is not felt by ten honest users of a process with a heap of 512 MB', async t => {
  if (!await findPostgres(t)) return
  const verdicts = await besiege({
    server: POSTGRES_URL,
    replicas: 1,
    only: ['badFrames', 'unfinishedBodies', 'refusedBodies', 'refusedMessages', 'wrongKeys', 'strangers', 'fullQueue', 'largeLists'],
    lasting: 3_000,
    say: line => t.comment(line)
  })
  for (const { attack, faults, answers } of verdicts) {
    t.strictSame(faults, [], attack)
    t.ok(answers > 0, `${attack}: ${answers} answers`)
  }
})
