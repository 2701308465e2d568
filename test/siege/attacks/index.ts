import type { Attack } from './attack.js'
import * as authors from './authors.js'
import * as doors from './doors.js'
import * as queues from './queues.js'
import * as tools from './tools.js'

/** Every attack, by its name. */
export const ATTACKS = { ...doors, ...authors, ...tools, ...queues } satisfies Record<string, Attack>
export type AttackName = keyof typeof ATTACKS
