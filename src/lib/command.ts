import { parseArgs } from 'node:util'

/** An option as `parseArgs` takes it, and what `--help` says of it. */
interface Option {
  type: 'string' | 'boolean'
  default?: string | boolean
  short?: string
  /** What stands for its value, such as `<id>`. */
  value?: string
  /** What it does; its default is added. */
  does: string
}
type Options = Record<string, Option>
type Values<O extends Options> = ReturnType<typeof parseArgs<{ options: O }>>['values']

interface Command<O extends Options> {
  /** How it is called, such as `npm run token`. */
  name: string
  does: string
  options: O
}

const HELP = { help: { type: 'boolean', short: 'h', does: 'prints this' } } as const satisfies Options

/** Runs a command; what goes wrong is a line on standard error and exit code 1. */
export async function runCommand<const O extends Options> (command: Command<O>, run: (values: Values<O>) => Promise<void>): Promise<void> {
  const values = readOptions(command)
  try {
    await run(values)
  } catch (error) {
    const { message, errors } = error as AggregateError
    process.stderr.write(`${message || errors?.[0]?.message || String(error)}\n`)
    process.exitCode = 1
  }
}

/** The options of this process. It ends here if `--help` is among them, and if the command has no such options. */
export function readOptions<const O extends Options> (command: Command<O>): Values<O> {
  const options: Options = { ...command.options, ...HELP }
  try {
    const { values: { help, ...values } } = parseArgs({ options })
    if (!help) return values as Values<O>
    process.stdout.write(describe(command, options))
    process.exit(0)
  } catch (error) {
    process.stderr.write(`${firstSentence((error as Error).message)}: see ${callOf(command, '--help')}\n`)
    process.exit(1)
  }
}

function describe ({ name, does }: Command<Options>, options: Options): string {
  const rows = Object.entries(options).map(([option, { value, does, default: preset }]) => {
    const addition = preset === undefined || preset === false ? '' : ` (default: ${preset})`
    return [`--${option}${value ? ` ${value}` : ''}`, `${does}${addition}`] as const
  })
  const width = Math.max(...rows.map(([head]) => head.length))
  return [`${callOf({ name }, '[options]')}: ${does}`, ...rows.map(([head, text]) => `  ${head.padEnd(width)}  ${text}`), ''].join('\n')
}

/** npm keeps what stands before `--` to itself. */
function callOf ({ name }: { name: string }, args: string): string {
  return name.startsWith('npm ') ? `${name} -- ${args}` : `${name} ${args}`
}

/** Node adds advice that is longer than what is wrong. */
function firstSentence (message: string): string {
  return message.split(/\. |\.?\n/)[0]!
}
