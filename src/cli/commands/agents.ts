import { readFile } from 'node:fs/promises'
import { NewAgentBody, AgentEditBody, FunctionValues, type AgentValues, type InspectedAgent } from '../../contract/agents.js'
import { chooseUser, SERVICE, withBackend } from './open.js'
import { eraseAll, OLDER_THAN, readPage, PAGE } from './common.js'
import { check, linesOf, tableOf } from './output.js'
import { listRetention, setRetention } from './retention.js'
import { print, readId, readNumber, type Subject, UsageError, verb } from './subcommands.js'

/** Bytes of a file with functions. */
const MAX_FILE = 4_000_000

const VALUES = {
  name: { type: 'string', value: '<text>', does: 'what it is called' },
  description: { type: 'string', value: '<text>', does: 'what it is for' },
  prompt: { type: 'string', value: '<text>', does: 'its system prompt; @<file> reads it from a file' },
  model: { type: 'string', value: '<name>', does: 'the model that answers; by default that of the service' },
  temperature: { type: 'string', value: '<0 to 2>', does: 'of the model' },
  'max-tokens': { type: 'string', value: '<n>', does: 'tokens of an answer' },
  'max-steps': { type: 'string', value: '<n>', does: 'steps of a run, with tools' },
  python: { type: 'string', value: '<module:function>', does: 'it is this function in Python, such as examples.text_statistics:run' },
  functions: { type: 'string', value: '<file>', does: 'JSON: all of its functions and tools, as agents show --json has them' },
  heavy: { type: 'boolean', does: 'the edge function hands it over to this service' }
} as const

/** The commands for agents. */
export const agents: Subject = {
  does: 'lists, makes, changes and deletes agents.',
  verbs: {
    list: verb({
      does: 'lists agents, newest first',
      options: {
        user: { type: 'string', value: '<id>', does: 'only this user\'s' },
        published: { type: 'boolean', does: 'only such as everybody may run' },
        ...PAGE,
        ...SERVICE
      },
      async run ({ values }) {
        const filter = { ...readPage(values), userId: values.user && readId('--user', values.user), published: values.published }
        const page = await withBackend(values.service, backend => backend.agents(filter))
        if (values.json) return print(JSON.stringify(page))
        print(tableOf(page.agents.map(({ agentId, name, isPublished, isHeavy, executor, entrypoint, model, userId }) => ({
          agent: agentId, name, published: isPublished ? 'yes' : 'no', heavy: isHeavy ? 'yes' : 'no', runs: executor === 'python' ? entrypoint : model ?? 'default model', user: userId
        })), 'There are no such agents.'))
        if (page.nextCursor) print(`… and more: --cursor ${page.nextCursor}`)
      }
    }),
    show: verb({
      takes: '<id>',
      does: 'shows an agent with its prompt and functions',
      options: SERVICE,
      async run ({ values, taken: [id] }) {
        show(await withBackend(values.service, backend => backend.agent(readId('<id>', id!))), values.json)
      }
    }),
    create: verb({
      does: 'makes an agent, and prints its id',
      options: {
        ...VALUES,
        user: { type: 'string', value: '<id>', does: 'whose it is; in embedded mode by default the demo user\'s' },
        publish: { type: 'boolean', does: 'everybody may run it' },
        ...SERVICE
      },
      async run ({ values }) {
        if (values.name === undefined) throw new UsageError('It needs --name <text>')
        const userId = readId('--user', chooseUser(values.user))
        const body = { ...await readValues(values), name: values.name, userId, ...values.publish && { isPublished: true } }
        check(NewAgentBody, body)
        const agent = await withBackend(values.service, backend => backend.createAgent(body))
        print(values.json ? JSON.stringify(agent) : agent.agentId)
      }
    }),
    edit: verb({
      takes: '<id>',
      does: 'changes what the options name; an empty text is the default again',
      options: { ...VALUES, ...SERVICE },
      async run ({ values, taken: [id] }) {
        const body = await readValues(values)
        check(AgentEditBody, body)
        const agent = await withBackend(values.service, backend => backend.editAgent(readId('<id>', id!), body))
        print(values.json ? JSON.stringify(agent) : `changed ${agent.agentId}`)
      }
    }),
    publish: published(true, 'lets everybody run an agent'),
    unpublish: published(false, 'lets only its owner run an agent'),
    delete: verb({
      takes: '<id>',
      does: 'deletes an agent with its functions and schedules; its runs stay',
      options: SERVICE,
      async run ({ values, taken: [id] }) {
        const deleted = await withBackend(values.service, backend => backend.deleteAgent(readId('<id>', id!)))
        print(values.json ? JSON.stringify(deleted) : `deleted ${deleted.agentId}`)
      }
    }),
    'erase-runs': verb({
      takes: '<id>',
      does: 'erases the texts of an agent\'s runs that have ended; the runs and the ledger stay',
      options: { ...OLDER_THAN, ...SERVICE },
      run: ({ values, taken: [id] }) => eraseAll(values, olderThanDays => ({ agentId: readId('<id>', id!), olderThanDays }))
    }),
    'set-retention': setRetention('an agent\'s', agentId => ({ agentId })),
    retention: listRetention()
  }
}

function published (isPublished: boolean, does: string) {
  return verb({
    takes: '<id>',
    does,
    options: SERVICE,
    async run ({ values, taken: [id] }) {
      const agent = await withBackend(values.service, backend => backend.editAgent(readId('<id>', id!), { isPublished }))
      print(values.json ? JSON.stringify(agent) : `${isPublished ? 'published' : 'unpublished'} ${agent.agentId}`)
    }
  })
}

function show (agent: InspectedAgent, isJson: boolean): void {
  if (isJson) return print(JSON.stringify(agent))
  const { agentId, name, functions, systemPrompt, ...rest } = agent
  print(linesOf({ agentId, name, ...rest, systemPrompt }))
  for (const { name: called, type, isEnabled, description } of functions) print(`function      ${[called, type, isEnabled ? '' : 'off', description].filter(Boolean).join(', ')}`)
}

type Given = { [N in keyof typeof VALUES]?: N extends 'heavy' ? boolean : string }

/** What the options say of an agent. */
async function readValues (given: Given): Promise<AgentValues> {
  const { name, description, prompt, model, temperature, python, functions, heavy } = given
  const body: AgentValues = {}
  if (name !== undefined) body.name = name
  if (description !== undefined) body.description = description || null
  if (prompt !== undefined) body.systemPrompt = prompt.startsWith('@') ? await read(prompt.slice(1)) : prompt || null
  if (model !== undefined) body.model = model || null
  if (temperature !== undefined) body.temperature = temperature === '' ? null : readNumber('--temperature', temperature, { min: 0, max: 2, whole: false })
  if (given['max-tokens'] !== undefined) body.maxTokens = given['max-tokens'] === '' ? null : readNumber('--max-tokens', given['max-tokens'], { min: 1, max: 1_000_000 })
  if (given['max-steps'] !== undefined) body.maxSteps = given['max-steps'] === '' ? null : readNumber('--max-steps', given['max-steps'], { min: 1, max: 100 })
  if (python !== undefined) Object.assign(body, python ? { executor: 'python', entrypoint: python } : { executor: 'model', entrypoint: null })
  if (functions !== undefined) body.functions = readFunctions(await read(functions))
  if (heavy) body.isHeavy = true
  return body
}

/** What `agents show --json` has printed may be read again: the ids of its functions do not count. */
function readFunctions (text: string): AgentValues['functions'] {
  let parsed
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new UsageError('--functions takes a file with JSON')
  }
  const list = Array.isArray(parsed) ? parsed : parsed?.functions
  if (!Array.isArray(list)) throw new UsageError('--functions takes a list of functions: [{"name", "type", "config", …}]')
  return list.map(each => {
    const { functionId, ...values } = Object(each)
    check(FunctionValues, values)
    return values
  })
}

async function read (path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(error => { throw new UsageError(`${path} cannot be read (${error.code ?? error.message})`) })
  if (text.length > MAX_FILE) throw new UsageError(`${path} is larger than ${MAX_FILE} characters`)
  return text
}
