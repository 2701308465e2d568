import { KeyBody } from '../../contract/api-keys.js'
import { chooseUser, SERVICE, withBackend } from './open.js'
import { check, tableOf } from './output.js'
import { print, readId, readNumber, type Subject, UsageError, verb } from './subcommands.js'

const USER = {
  user: { type: 'string', value: '<id>', does: 'whose; in embedded mode by default the demo user\'s' }
} as const
const PER_DAY = { min: 0, max: 1_000_000 }

/** The commands for API keys. */
export const keys: Subject = {
  does: 'lists, makes and revokes API keys.',
  verbs: {
    list: verb({
      does: 'lists a user\'s keys, newest first, revoked ones too',
      options: { ...USER, ...SERVICE },
      async run ({ values }) {
        const userId = readId('--user', chooseUser(values.user))
        const list = await withBackend(values.service, backend => backend.keys(userId))
        if (values.json) return print(JSON.stringify(list))
        print(tableOf(list.keys.map(({ id, name, prefix, isActive, publishable, agentIds, lastUsedAt }) => ({
          key: id, begins: prefix, name, state: isActive ? 'active' : 'revoked', kind: publishable ? 'publishable' : 'secret', agents: agentIds.length || 'all', 'last used': lastUsedAt ?? 'never'
        })), 'The user has no keys.'))
      }
    }),
    create: verb({
      does: 'makes a key, and prints it: it is shown this once',
      options: {
        name: { type: 'string', value: '<text>', does: 'what it is for' },
        ...USER,
        agent: { type: 'string', value: '<id>', multiple: true, does: 'an agent that it may run, and again for others; by default all that are published' },
        read: { type: 'boolean', does: 'it may list and read its owner\'s runs and credits' },
        publishable: { type: 'boolean', does: 'it may stand in a public page; needs --agent and --origin' },
        origin: { type: 'string', value: '<origin>', multiple: true, does: 'from where a publishable key is taken, such as https://example.com' },
        'requests-per-day': { type: 'string', value: '<n>', does: 'runs that it may begin a day' },
        'credits-per-day': { type: 'string', value: '<n>', does: 'credits that its runs may use a day' },
        ...SERVICE
      },
      async run ({ values }) {
        if (values.name === undefined) throw new UsageError('It needs --name <text>')
        const userId = readId('--user', chooseUser(values.user))
        const [requests, credits] = [values['requests-per-day'], values['credits-per-day']]
        const body: KeyBody = {
          name: values.name,
          ...values.publishable && { publishable: true },
          ...values.read && { scopes: ['read' as const] },
          ...values.agent && { agentIds: values.agent.map(id => readId('--agent', id)) },
          ...values.origin && { origins: values.origin },
          ...requests !== undefined && { requestsPerDay: readNumber('--requests-per-day', requests, PER_DAY) },
          ...credits !== undefined && { creditsPerDay: readNumber('--credits-per-day', credits, PER_DAY) }
        }
        check(KeyBody, body)
        const created = await withBackend(values.service, backend => backend.createKey(userId, body))
        print(values.json ? JSON.stringify(created) : created.key)
      }
    }),
    revoke: verb({
      takes: '<id>',
      does: 'revokes a key, for ever',
      options: { ...USER, ...SERVICE },
      async run ({ values, taken: [id] }) {
        const userId = readId('--user', chooseUser(values.user))
        const revoked = await withBackend(values.service, backend => backend.revokeKey(userId, readId('<id>', id!)))
        print(values.json ? JSON.stringify(revoked) : `revoked ${revoked.id}`)
      }
    })
  }
}
