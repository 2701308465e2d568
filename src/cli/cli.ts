import { ConfigError } from '../config/config.js'
import { nameOf, print, runSubject, runVerb, type Subject, UsageError } from './commands/subcommands.js'

/** Loaded when it is asked for: the embedded database alone is megabytes. */
const SUBJECTS: Record<string, { does: string, load: () => Promise<Subject> }> = {
  agents: { does: 'lists, makes, changes and deletes agents', load: async () => (await import('./commands/agents.js')).agents },
  keys: { does: 'lists, makes and revokes API keys', load: async () => (await import('./commands/keys.js')).keys },
  users: { does: 'finds users, gives and takes credits, erases texts', load: async () => (await import('./commands/users.js')).users },
  runs: { does: 'lists, shows, follows and cancels runs', load: async () => (await import('./commands/runs.js')).runs }
}

process.stdout.on('error', error => {
  // `| head` has seen enough.
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
})

const [name = '--help', ...args] = process.argv.slice(2)
try {
  if (['--help', '-h', 'help'].includes(name)) {
    print(['node dist/cli.js <subject> <command> [options]: administers the service on its database.',
      ...Object.entries(SUBJECTS).map(([name, { does }]) => `  ${name.padEnd(6)}  ${does}`), '  doctor  checks all that the service needs', '  --help  prints this; behind a subject, its commands'].join('\n'))
  } else if (name === 'doctor') {
    await runVerb(nameOf(name), (await import('./doctor/doctor.js')).doctor, args)
  } else {
    const subject = Object.hasOwn(SUBJECTS, name) ? SUBJECTS[name] : undefined
    if (!subject) throw new UsageError(`There is no "${name.slice(0, 100)}": see node dist/cli.js --help`)
    await runSubject(name, await subject.load(), args)
  }
} catch (error) {
  const { message, errors } = error as AggregateError
  const text = error instanceof ConfigError ? error.problems.map(problem => `config: ${problem}`).join('\n') : message || errors?.[0]?.message || String(error)
  process.stderr.write(`${text}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
// What a check has given up waiting for would keep the process.
if (name === 'doctor') process.stdout.write('', () => process.exit())
