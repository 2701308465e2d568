import t from 'tap'
import { findPostgres, POSTGRES_URL } from '../support/helper.js'
import type { AttackName } from '../siege/attacks/index.js'
import { besiege, MAX_STALL_MS, type Verdict } from '../siege/siege.js'

// A short siege of the doors. The service, the attacker, and those who measure what others feel are processes of their own.
const DOORS: AttackName[] = ['badFrames', 'badFramesOfUser', 'unfinishedFrames', 'unfinishedBodies', 'refusedBodies', 'refusedMessages']
const LASTING_MS = 3_000
/** A stall of the machine may fall upon the service alone, but not each time; one that an attack makes comes again. */
const SIEGES = 3

t.test('what one caller sends does not take the service from others', async t => {
  if (!await findPostgres(t)) return
  let doors = DOORS
  for (let siege = 0; siege < SIEGES && doors.length > 0; siege++) {
    const [quiet, ...verdicts] = await besiege({ server: POSTGRES_URL, replicas: 1, only: doors, lasting: LASTING_MS, say: line => t.comment(line) })
    t.equal(quiet!.lost, 0, 'without an attack nothing is lost')
    for (const verdict of verdicts) nothingIsLost(verdict)
    doors = verdicts.filter(verdict => beyondMachine(verdict, quiet!) > MAX_STALL_MS).map(({ attack }) => attack as AttackName)
  }
  t.same(doors, [], `nobody waits for more than ${MAX_STALL_MS} ms`)

  function nothingIsLost ({ attack, answers, lost, altered, problems }: Verdict): void {
    t.ok(answers > 0, `others ran agents during ${attack}`)
    t.match({ lost, altered, problems }, { lost: 0, altered: 0, problems: [] }, 'and lost nothing')
  }
})

/** How much later the latest of all others was served than the machine alone explains, in milliseconds. */
function beyondMachine ({ longestStall, latestAnswer, machineStall }: Verdict, quiet: Verdict): number {
  return Math.max(longestStall - Math.max(machineStall, quiet.longestStall), latestAnswer - Math.max(machineStall, quiet.latestAnswer))
}
