import type { Attack } from './attack.js'
import { endlessName, knowledge, schemas, strangers, triggerWords } from './authors.js'
import { badFrames, badFramesOfUser, refusedBodies, refusedMessages, unfinishedBodies, unfinishedFrames, wrongKeys } from './doors.js'
import { abandonedRuns, fullQueue, largeInputs, largeLists, schedules } from './queues.js'
import { mcpPings, silentWebhooks } from './tools.js'

/** Every attack, by its name. */
export const ATTACKS = {
  badFrames,
  badFramesOfUser,
  refusedBodies,
  refusedMessages,
  unfinishedBodies,
  unfinishedFrames,
  wrongKeys,
  triggerWords,
  schemas,
  knowledge,
  strangers,
  endlessName,
  mcpPings,
  silentWebhooks,
  abandonedRuns,
  fullQueue,
  largeInputs,
  largeLists,
  schedules
} satisfies Record<string, Attack>
export type AttackName = keyof typeof ATTACKS
