import { parseArgs } from 'node:util'
import { UUID } from '#shared/uuid.ts'

/** An option of a verb, and what `--help` says of it. */
export interface Option {
  type: 'string' | 'boolean'
  default?: string | boolean
  multiple?: boolean
  /** What stands for its value, such as `<id>`. */
  value?: string
  does: string
}
export type Options = Record<string, Option>
type Values<O extends Options> = ReturnType<typeof parseArgs<{ options: O }>>['values']

/** One thing that can be done with a subject. */
export interface Verb {
  /** What it takes beside options, such as `<id>`, or `[id]` where that may be missing. */
  takes?: string
  does: string
  options: Options
  run (given: { values: any, taken: string[] }): Promise<void>
}

/** What commands are about, such as agents. */
export interface Subject {
  does: string
  verbs: Record<string, Verb>
}

/** A command that was given wrongly: exit code 2, and where its help is. */
export class UsageError extends Error {}

const HELP = { help: { type: 'boolean', short: 'h', does: 'prints this' } } as const
const JSON_OPTION = { json: { type: 'boolean', default: false, does: 'prints JSON' } } as const satisfies Options
type Given<O extends Options> = Values<O & typeof JSON_OPTION>

/** A verb whose values have the types of its options. `--json` is an option of every verb. */
export function verb<const O extends Options> (definition: {
  takes?: string, does: string, options: O, run (given: { values: Given<O>, taken: string[] }): Promise<void>
}): Verb {
  return { ...definition, options: { ...definition.options, ...JSON_OPTION } }
}

/** How the commands are called: from a checkout by npm, else the built program. */
export function nameOf (subject: string): string {
  return process.argv[1]?.endsWith('.ts') ? `npm run ${subject} --` : `node dist/cli.js ${subject}`
}

/**
 * Runs the verb that arguments name.
 * @param args what stands behind the subject.
 * @throws {UsageError} for arguments that fit no verb; whatever the verb throws.
 */
export async function runSubject (name: string, { does, verbs }: Subject, args: string[]): Promise<void> {
  const [first = '--help', ...rest] = args
  if (['--help', '-h', 'help'].includes(first)) return print(describeSubject(name, does, verbs))
  const found = Object.hasOwn(verbs, first) ? verbs[first] : undefined
  if (!found) throw new UsageError(`There is no command "${first.slice(0, 100)}": ${name} has ${Object.keys(verbs).join(', ')}; see ${nameOf(name)} --help`)
  await runVerb(`${nameOf(name)} ${first}`, found, rest)
}

/**
 * Runs a verb with its arguments, or says what it takes.
 * @param call how it is called.
 * @throws {UsageError} for arguments that do not fit; whatever the verb throws.
 */
export async function runVerb (call: string, found: Verb, rest: string[]): Promise<void> {
  const { values: { help, ...values }, positionals } = parse({ ...found.options, ...HELP }, rest, call)
  if (help) return print(describeVerb(call, found))
  const takes = found.takes?.split(' ') ?? []
  const needed = takes.filter(name => name.startsWith('<'))
  if (positionals.length > takes.length || positionals.length < needed.length) {
    const wrong = positionals.length > takes.length ? `It takes no "${positionals[takes.length]!.slice(0, 100)}"` : `It needs ${needed.slice(positionals.length).join(' ')}`
    throw new UsageError(`${wrong}: see ${call} --help`)
  }
  try {
    await found.run({ values, taken: positionals })
  } catch (error) {
    if (error instanceof UsageError) throw new UsageError(`${error.message}: see ${call} --help`)
    throw error
  }
}

function parse (options: Options, args: string[], call: string) {
  try {
    return parseArgs({ options, args, allowPositionals: true })
  } catch (error) {
    // Node adds advice that is longer than what is wrong.
    throw new UsageError(`${(error as Error).message.split(/\. |\.?\n/)[0]}: see ${call} --help`)
  }
}

function describeSubject (name: string, does: string, verbs: Record<string, Verb>): string {
  const rows = Object.entries(verbs).map(([verb, { takes, does }]) => [[verb, takes].filter(Boolean).join(' '), does] as const)
  return table(`${nameOf(name)} <command> [options]: ${does}`, [...rows, ['--help', 'prints this; behind a command, its options']])
}

function describeVerb (call: string, { takes, does, options }: Verb): string {
  const rows = Object.entries({ ...options, ...HELP } as Options).map(([option, { value, does, default: preset }]) =>
    [`--${option}${value ? ` ${value}` : ''}`, preset === undefined || preset === false ? does : `${does} (default: ${preset})`] as const)
  return table(`${[call, takes, '[options]'].filter(Boolean).join(' ')}: ${does}`, rows)
}

function table (title: string, rows: Array<readonly [string, string]>): string {
  const width = Math.max(...rows.map(([head]) => head.length))
  return [title, ...rows.map(([head, text]) => `  ${head.padEnd(width)}  ${text}`)].join('\n')
}

/** Prints a line, or several. */
export function print (text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Reads an id. @param name what it is of, such as `<id>` or `--user`. @throws {UsageError} */
export function readId (name: string, text: string): string {
  if (!UUID.test(text)) throw new UsageError(`${name} takes an id, a uuid`)
  return text.toLowerCase()
}

/** Reads a number. @throws {UsageError} */
export function readNumber (name: string, text: string, { min, max, whole = true }: { min: number, max: number, whole?: boolean }): number {
  const number = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : NaN
  if (!(number >= min && number <= max) || (whole && !Number.isInteger(number))) throw new UsageError(`${name} takes a ${whole ? 'whole ' : ''}number from ${min} to ${max}`)
  return number
}
