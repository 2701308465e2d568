import type { TSchema } from '@sinclair/typebox'
import { GROUPS, type Variable, VARIABLES } from '../../src/config/environment.js'

type Entry = [name: string, variable: Variable]

const ALL: Entry[] = Object.entries(VARIABLES)

/** .env.example: every variable of the service, explained, with its default. */
export function renderEnvExample (): string {
  const sections = Object.keys(GROUPS).flatMap(group => {
    const entries = ALL.filter(([, variable]) => variable.group === group && variable.readBy.includes('service'))
    if (entries.length === 0) return []
    const lines = entries.flatMap(([name, { text, schema }]) => [`# ${text}`, `${name}=${schema.default ?? ''}`])
    return [[`# --- ${titleOf(group)} ---`, ...lines].join('\n')]
  })
  return ['# Copy to .env, or set these in Railway. All are optional: with nothing set the service runs in embedded mode.', ...sections].join('\n\n') + '\n'
}

/** docs/reference/environment.md: a table of variables for each group. */
export function renderEnvironmentReference (): string {
  const sections = Object.keys(GROUPS).map(group => {
    const rows = ALL.filter(([, variable]) => variable.group === group).map(rowOf)
    return [`## ${titleOf(group)}`, '', '| Variable | Value | Default | Read by | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
  })
  return [
    '# Environment variables',
    'Made from `src/config/environment.ts` by `npm run docs`.',
    'The service reads its variables from the environment, and from a `.env` file in its working directory those that the environment lacks. ' +
    'A blank variable counts as not set. If anything is wrong, the process prints every problem, one line each with what to write, and ends.',
    'A number is digits alone, without a unit or separators: `30`, not `30s`; `10485760`, not `10mb`. A boolean is `true`, `yes`, `on` or `1`, or `false`, `no`, `off` or `0`, in any case. ' +
    'In the URLs of databases and of Redis, characters such as `@ / # ? %` of a password are written as `%40 %2F %23 %3F %25`.',
    'What works and is probably meant otherwise is a line of the log at `warn` that begins with `config:`: a name that is nearly one of these, a `NODE_ENV` that is nearly `production` or is not set on Railway, ' +
    'patterns in `CORS_ORIGINS`, a `RATE_LIMIT_WINDOW` in seconds, and times that do not fit Railway\'s. ' +
    'The edge function cannot refuse to start: it logs its problems, one line each, and takes the default.',
    ...sections
  ].join('\n\n') + '\n'
}

function titleOf (group: string): string {
  return GROUPS[group as keyof typeof GROUPS]
}

function rowOf ([name, { schema, readBy, text }]: Entry): string {
  const fallback = schema.default === undefined ? '' : `\`${schema.default}\``
  return `| \`${name}\` | ${describe(schema)} | ${fallback} | ${readBy.join(', ')} | ${text.replaceAll('|', '\\|')} |`
}

/** A schema in words: `integer, at least 1`. */
function describe (schema: TSchema): string {
  const { type, minimum, exclusiveMinimum, maximum, anyOf } = schema
  if (anyOf) return anyOf.map((choice: TSchema) => `\`${choice.const}\``).join(', ')
  const limits = [
    minimum !== undefined && `at least ${minimum}`,
    exclusiveMinimum !== undefined && `more than ${exclusiveMinimum}`,
    maximum !== undefined && `at most ${maximum}`
  ].filter(Boolean)
  return [type === 'string' ? 'text' : type, ...limits].join(', ')
}
