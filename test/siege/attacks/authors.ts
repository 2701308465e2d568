import type { Attack } from './attack.js'
import { execute, repeat } from './attack.js'

const CREDITS = 1000
const WORDS = 10_000

/** An agent with 10,000 words that trigger its functions, and one with as many conditions, and a message of 5 MB. */
export const triggerWords: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const keywords = Array.from({ length: WORDS }, (_, n) => `word number ${n} of many`)
    const agents = [
      await world.createAgent(user, { isChecked: false, functions: [{ name: 'never', type: 'data_transform', keywords, config: { transform_type: 'format', template: '{{data}}' } }] }),
      await world.createAgent(user, {
        isChecked: false,
        functions: [{ name: 'never', type: 'conditional', keywords: ['w'], config: { condition_keyword: keywords.join(','), condition_response: 'yes', default_response: '' } }]
      })
    ]
    const text = 'word number '.repeat(400_000)
    return signal => repeat(2, signal, n => execute(world.url(n), user, agents[n % 2]!, text, signal))
  }
}

/** Schemas of tools that take long to compile and longer to check, called 128 times in a turn. */
export const schemas: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const shared = { $defs: nestedDefinitions(22), properties: { value: { $ref: '#/$defs/d22' } } }
    const wide = { type: 'object', properties: { value: { oneOf: Array.from({ length: 600 }, (_, n) => ({ type: 'object', required: [`p${n}`], properties: { [`p${n}`]: { type: 'string', minLength: n } } })) } } }
    const agents = [
      await world.createAgent(user, { isChecked: false, functions: [tool('t0', shared)] }),
      await world.createAgent(user, { isChecked: false, functions: Array.from({ length: 100 }, (_, n) => tool(`t${n}`, wide)) })
    ]
    return signal => repeat(2, signal, n => execute(world.url(n), user, agents[n % 2]!, 'siege:calls', signal, false))
  }
}

/** Agents that know 60 MB each. */
export const knowledge: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const agentId = await world.createAgent(user, { isChecked: false, knowledge: Array.from({ length: 60 }, (_, n) => ({ content: `${n}`.padEnd(1_000_000, 'k') })) })
    return signal => repeat(30, signal, n => execute(world.url(n), user, agentId, 'What do you know?', signal, false))
  }
}

/** Messages with properties that the model refuses, so that the service may learn something wrong. */
export const strangers: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const agentId = await world.createAgent(user)
    return signal => repeat(4, signal, n => execute(world.url(n), user, agentId, 'siege:refuse', signal, false))
  }
}

/** A gateway that sends 400 MB of a tool's name. */
export const endlessName: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const agentId = await world.createAgent(user, { functions: [tool('t', { type: 'object', properties: {} })] })
    return signal => repeat(4, signal, n => execute(world.url(n), user, agentId, 'siege:endless-name', signal, false))
  }
}

function tool (name: string, parameters: object) {
  return { name, type: 'data_transform', config: { transform_type: 'format', template: '{{data}}', parameters: { type: 'object', ...parameters } } }
}

function nestedDefinitions (depth: number): Record<string, object> {
  const definitions: Record<string, object> = { d0: { type: 'string', pattern: '^y' } }
  for (let n = 1; n <= depth; n++) definitions[`d${n}`] = { anyOf: [{ $ref: `#/$defs/d${n - 1}` }, { $ref: `#/$defs/d${n - 1}` }] }
  return definitions
}
