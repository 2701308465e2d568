import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { TSchema } from '@sinclair/typebox'
import type { Test } from 'tap'
import { createAjv } from '#shared/http/validation.ts'
import { RunEvent, RunStatus } from '#shared/schemas.ts'
import { parseConfig } from '../../src/config/config.js'
import { SHAPES } from '../../src/contract/shapes.js'
import { SocketMessages } from '../../src/contract/socket-messages.js'
import { type Fence, readDocument, readProjectFile, sectionOf, tableOf } from './markdown.js'

const ajv = createAjv()
const EVENTS = Object.fromEntries(RunEvent.anyOf.map(schema => [schema.properties.type.const as string, schema as TSchema]))
/** What stands for a secret that an operator makes. */
const SECRET = randomBytes(32).toString('hex')
const RAILWAY_VARIABLES = ['RAILWAY_DEPLOYMENT_DRAINING_SECONDS']

/** Holds a value to a schema, and to no other fields than the schema's at its top. */
function holds (t: Test, schema: TSchema | undefined, value: Record<string, unknown>, what: string): void {
  if (!schema) throw new Error(`there is no schema of ${what}`)
  const fits = ajv.compile(schema)
  t.ok(fits(value), `${what} ${ajv.errorsText(fits.errors)}`)
  t.strictSame(Object.keys(value).filter(name => !(name in schema.properties)), [], `${what} has no other fields`)
}

export function checkJson (t: Test, { words, text }: Fence): void {
  holds(t, SHAPES[words[0]!], JSON.parse(text), words[0]!)
}

/** Frames of a stream: events of the contract whose numbers rise, comments, `[DONE]`, and `reconnect` without a number. */
export function checkStream (t: Test, { text }: Fence): void {
  let last = 0
  for (const frame of text.split('\n\n').filter(frame => frame.trim() !== '')) {
    if (frame === ': ping' || frame === 'data: [DONE]') continue
    const [, id, data] = /^(?:id: (\d+)\n)?data: (\{.*\})$/.exec(frame) ?? []
    if (!data) throw new Error(`is no frame: ${frame}`)
    const event = JSON.parse(data)
    if (event.type === 'reconnect') {
      t.equal(id, undefined, 'reconnect has no number')
      t.equal(event.after, last, 'reconnect names the event before')
    } else {
      holds(t, EVENTS[event.type], event, event.type)
      t.ok(Number(id) > last, 'numbers rise')
      last = Number(id)
    }
  }
}

/** `→` is what a client sends, `←` what the server does. */
export function checkSocketExchange (t: Test, { text }: Fence): void {
  const document = readDocument('docs/reference/websocket.md')
  const events = Object.fromEntries(tableOf(sectionOf(document, 'Events of a run'), 'message').rows)
  for (const line of text.split('\n').filter(Boolean)) {
    const message = JSON.parse(line.slice(2))
    if (line.startsWith('→ ')) {
      holds(t, SocketMessages[message.type as keyof typeof SocketMessages], message, message.type)
    } else if (message.type in events) {
      const { seq, requestId, runId, ...fields } = message
      const schema = EVENTS[events[message.type]]!
      t.ok(Number.isInteger(seq), `${message.type} has its number`)
      holds(t, schema, { ...fields, type: events[message.type], ...('runId' in schema.properties ? { runId } : {}) }, message.type)
    } else {
      const fields = tableOf(sectionOf(document, message.type), 'field').rows.map(([name]) => name)
      t.strictSame(Object.keys(message), fields, message.type)
    }
  }
}

/** Variables of the service, or of Railway, with values that it takes; `…` and `<…>` stand for some text, each for its own. */
export function checkEnvironment (t: Test, { text }: Fence): void {
  const variables = Object.fromEntries(text.split('\n').filter(Boolean).map(line => {
    const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? []
    return [name, value!.replaceAll('…', `${SECRET}${name}`).replace(/<[^>]*>/g, 'x')]
  }))
  const example = readProjectFile('.env.example')
  for (const name of Object.keys(variables)) t.ok(RAILWAY_VARIABLES.includes(name) || new RegExp(`^${name}=`, 'm').test(example), `there is a ${name}`)
  t.doesNotThrow(() => parseConfig(variables))
}

/** The commands of a script, a line each; comments are left out. */
export function commandsIn (script: string): string[] {
  return script.replaceAll('\\\n', ' ').split('\n').flatMap(line => line.replace(/\s#.*$|^#.*$/, '').split('&&')).map(line => line.trim()).filter(Boolean)
}

/** Commands of npm that package.json has, and of tap on files that are there. */
export function checkCommands (t: Test, fence: Fence): void {
  const { scripts } = JSON.parse(readProjectFile('package.json'))
  for (const line of commandsIn(fence.text)) {
    const [, assignments = '', command = ''] = /^((?:[A-Z_]+=\S+ +)*)(.*)$/.exec(line) ?? []
    const variables = assignments.replace(/TAP_GREP='[^']*' */, '')
    if (variables) checkEnvironment(t, { ...fence, text: variables.trim().split(/ +/).join('\n') })
    const [, script] = /^npm (?:run (?:--silent )?)?(\S+)/.exec(command) ?? []
    const files = /^npx tap /.test(command) ? command.match(/\S+\.test\.ts/g) : undefined
    if (files) for (const file of files) t.ok(existsSync(new URL(`../../${file}`, import.meta.url)), `there is a ${file}`)
    else t.ok(script === 'ci' || (script && script in scripts), `package.json has a script for ${command}`)
  }
}

/** A drawing of a kind that GitHub draws, whose states are a run's and whose participants are declared. */
export function checkPicture (t: Test, { text }: Fence): void {
  const [kind, ...lines] = text.trim().split('\n').map(line => line.trim())
  if (kind === 'stateDiagram-v2') {
    const states = lines.flatMap(line => /^(\S+) --> ([^:\s]+)/.exec(line)?.slice(1) ?? [`no arrow: ${line}`])
    t.strictSame([...new Set(states)].filter(state => state !== '[*]').sort(), [...RunStatus.enum].sort())
  } else if (kind === 'sequenceDiagram') {
    const declared = lines.flatMap(line => /^participant (\w+) as /.exec(line)?.[1] ?? [])
    for (const line of lines.filter(line => !line.startsWith('participant '))) {
      const names = /^(\w+)-?->>(\w+): \S/.exec(line)?.slice(1) ?? /^Note over (\w+): \S/.exec(line)?.slice(1) ?? []
      t.ok(names.length > 0 && names.every(name => declared.includes(name)), line)
      t.notMatch(line, /;|#/, 'has no character that ends a statement')
    }
  } else t.match(kind, /^flowchart (TD|LR)$/)
}
