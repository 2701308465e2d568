import { SERVICE, withBackend } from './open.js'
import { eraseAll, OLDER_THAN, PAGE, readPage } from './common.js'
import { tableOf } from './output.js'
import { listRetention, setRetention } from './retention.js'
import { print, readId, readNumber, type Subject, UsageError, verb } from './subcommands.js'

/** The commands for users. */
export const users: Subject = {
  does: 'finds and makes users, gives and takes credits, erases texts, and says how long they are kept.',
  verbs: {
    list: verb({
      does: 'lists users with their balances, newest first',
      options: {
        email: { type: 'string', value: '<text>', does: 'only those whose address begins so, in any case' },
        ...PAGE,
        ...SERVICE
      },
      async run ({ values }) {
        const page = await withBackend(values.service, backend => backend.users({ ...readPage(values), email: values.email || undefined }))
        if (values.json) return print(JSON.stringify(page))
        print(tableOf(page.users.map(({ userId, email, isAdmin, credits: { creditsRemaining, creditsReserved, planType } }) => ({
          user: userId, email, admin: isAdmin ? 'yes' : 'no', plan: planType, credits: creditsRemaining, reserved: creditsReserved
        })), 'There are no such users.'))
        if (page.nextCursor) print(`… and more: --cursor ${page.nextCursor}`)
      }
    }),
    create: verb({
      takes: '<e-mail>',
      does: 'makes a user, and prints the id; beside a Supabase project its Auth makes them',
      options: SERVICE,
      async run ({ values, taken: [email] }) {
        const user = await withBackend(values.service, backend => backend.createUser(email!))
        print(values.json ? JSON.stringify(user) : user.userId)
      }
    }),
    credits: verb({
      takes: '<id> <credits>',
      does: 'gives a user so many credits; with --take it takes them, of those that remain',
      options: {
        reason: { type: 'string', value: '<text>', does: 'why; it stands in the ledger' },
        take: { type: 'boolean', default: false, does: 'takes the credits' },
        ...SERVICE
      },
      async run ({ values, taken: [id, text] }) {
        if (!values.reason?.trim()) throw new UsageError('It needs --reason <text>')
        const amount = readNumber('<credits>', text!, { min: 1, max: 1_000_000 })
        const grant = { userId: readId('<id>', id!), credits: values.take ? -amount : amount, reason: values.reason }
        const credits = await withBackend(values.service, backend => backend.grant(grant))
        print(values.json ? JSON.stringify(credits) : `${values.take ? 'took' : 'gave'} ${amount}: ${credits.creditsRemaining} credits remain`)
      }
    }),
    'erase-runs': verb({
      takes: '<id>',
      does: 'erases the texts of a user\'s runs that have ended; the runs and the ledger stay',
      options: { ...OLDER_THAN, ...SERVICE },
      run: ({ values, taken: [id] }) => eraseAll(values, olderThanDays => ({ userId: readId('<id>', id!), olderThanDays }))
    }),
    'set-retention': setRetention('a user\'s', userId => ({ userId })),
    retention: listRetention()
  }
}
