/** An agent as it is listed. */
export interface ListedAgent {
  id: string
  name: string
  /** What its owner says of it, cut; null if nothing. */
  description: string | null
}

/** Clients take 64 characters, some of them with the name of the server before it. */
const MAX_SLUG = 40
/** Hexadecimal digits of an id that tell agents of one name apart. */
const SHORT_ID = 8
const MAX_TITLE = 200

const INPUT_SCHEMA = {
  type: 'object' as const,
  properties: { message: { type: 'string' as const, description: 'What the agent is asked or told. It knows nothing of your conversation but this.' } },
  required: ['message']
}

/**
 * The agents as tools of MCP. A name is made of the agent's; of several agents of one name the oldest has it as it is, and the others
 * with the beginning of their ids behind it.
 * @param agents newest first, as they are listed.
 */
export function toTools (agents: readonly ListedAgent[]) {
  return nameAgents(agents).map(([tool, { name, description }]) => ({
    name: tool,
    title: name.slice(0, MAX_TITLE),
    description: description ?? `Asks the agent "${name.slice(0, MAX_TITLE)}".`,
    inputSchema: INPUT_SCHEMA
  }))
}

/** The agent that a tool's name means; undefined if none. A name with the beginning of an id means its agent for ever. */
export function findAgent<Agent extends ListedAgent> (agents: readonly Agent[], tool: string): Agent | undefined {
  const named = nameAgents(agents).find(([name]) => name === tool)
  return named ? named[1] : agents.find(agent => withId(slugOf(agent.name), agent) === tool)
}

function nameAgents<Agent extends ListedAgent> (agents: readonly Agent[]): Array<[name: string, Agent]> {
  const taken = new Set<string>()
  const oldestFirst = agents.toReversed().map((agent): [string, Agent] => {
    const slug = slugOf(agent.name)
    const names = [...(slug === '' ? [] : [slug]), withId(slug, agent), withId(slug, agent, Infinity)]
    const name = names.find(name => !taken.has(name))!
    taken.add(name)
    return [name, agent]
  })
  return oldestFirst.reverse()
}

/** Letters and digits as every client takes them: `Überblick 2` is `uberblick_2`. Empty if a name has none. */
function slugOf (name: string): string {
  const plain = name.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase().replace(/[^a-z0-9-]+/g, '_')
  const slug = plain.replace(/^[_-]+/, '').slice(0, MAX_SLUG).replace(/[_-]+$/, '')
  // Some models call no tool whose name begins with a digit.
  return /^\d/.test(slug) ? `agent_${slug}`.slice(0, MAX_SLUG) : slug
}

/** With the whole id a name is nobody else's. */
function withId (slug: string, { id }: ListedAgent, digits = SHORT_ID): string {
  const all = id.replaceAll('-', '')
  return digits === Infinity ? `agent_${all}` : `${slug || 'agent'}_${all.slice(0, digits)}`
}
