import type { Subject } from '../../administration/administration.js'
import { SERVICE, withBackend } from './open.js'
import { tableOf } from './output.js'
import { print, readId, readNumber, verb } from './subcommands.js'

/** The word for the period of all: RUN_RETENTION_DAYS. */
const DEFAULT = 'default'

/** Sets the period of a user or of an agent. @param whose in the sentence of its help. */
export function setRetention (whose: string, subjectOf: (id: string) => Subject) {
  return verb({
    takes: '<id> <days>',
    does: `keeps the texts of ${whose} runs for so many days after their end, if all are kept longer; "${DEFAULT}": as long as those of all`,
    options: SERVICE,
    async run ({ values, taken: [id, text] }) {
      const days = text === DEFAULT ? null : readNumber('<days>', text!, { min: 0, max: 36_500, whole: false })
      const period = await withBackend(values.service, backend => backend.setRetention(subjectOf(readId('<id>', id!)), days))
      print(values.json ? JSON.stringify(period) : days === null ? 'kept as long as those of all' : `kept for ${days} days after their end`)
    }
  })
}

/** Lists the periods of users and agents. */
export function listRetention () {
  return verb({
    does: 'lists the users and agents whose texts have a period of their own, newest first',
    options: {
      limit: { type: 'string', value: '<n>', default: '20', does: 'how many, 100 at the most' },
      cursor: { type: 'string', value: '<n>', does: 'goes on behind this one' },
      ...SERVICE
    },
    async run ({ values }) {
      const limit = readNumber('--limit', values.limit, { min: 1, max: 100 })
      const cursor = values.cursor === undefined ? undefined : readNumber('--cursor', values.cursor, { min: 1, max: Number.MAX_SAFE_INTEGER })
      const page = await withBackend(values.service, backend => backend.retention({ limit, cursor }))
      if (values.json) return print(JSON.stringify(page))
      print(tableOf(page.periods.map(({ userId, userEmail, agentId, agentName, days }) => ({
        of: userId ? 'user' : 'agent', id: userId ?? agentId, name: userEmail ?? agentName, days
      })), 'None has a period of its own.'))
      if (page.nextCursor) print(`… and more: --cursor ${page.nextCursor}`)
    }
  })
}
