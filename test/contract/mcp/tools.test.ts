import fc from 'fast-check'
import t from 'tap'
import { findAgent, type ListedAgent, toTools } from '../../../src/contract/mcp/tools.js'

const agent = (name: string, id: string, description: string | null = null): ListedAgent => ({ name, id: `${id}-0000-4000-8000-000000000000`, description })
const namesOf = (agents: ListedAgent[]) => toTools(agents).map(({ name }) => name)

t.test('a tool is called by its agent\'s name, in letters that every client takes', async t => {
  const cases: Array<[name: string, tool: string]> = [
    ['Demo agent', 'demo_agent'],
    ['  Überblick & Größe: 2026! ', 'uberblick_gro_e_2026'],
    ['write-up', 'write-up'],
    ['7 wonders', 'agent_7_wonders'],
    ['Помощник', 'agent_0123abcd'],
    ['助手', 'agent_0123abcd'],
    ['🙂', 'agent_0123abcd'],
    ['', 'agent_0123abcd'],
    ['x'.repeat(200), 'x'.repeat(40)],
    [`${'word '.repeat(8)}end`, 'word_word_word_word_word_word_word_word']
  ]
  for (const [name, tool] of cases) t.same(namesOf([agent(name, '0123abcd')]), [tool], name)
})

t.test('of several agents of one name the oldest has it as it is', async t => {
  const agents = [agent('SUPPORT', '33333333'), agent('support', '22222222'), agent('Support', '11111111')]
  t.same(namesOf(agents), ['support_33333333', 'support_22222222', 'support'])
  t.equal(findAgent(agents, 'support'), agents[2])
  t.equal(findAgent(agents, 'support_22222222'), agents[1])
  t.equal(findAgent(agents.slice(0, 2), 'support_22222222'), agents[1], 'when the oldest is gone, the next one is found by both names')
  t.equal(findAgent(agents.slice(0, 2), 'support'), agents[1])
  t.equal(findAgent(agents, 'support_99999999'), undefined)
  t.equal(findAgent(agents, 'Support'), undefined)
})

t.test('no agent can take the name of another, whatever it is called', async t => {
  const oldest = agent('Support', '22222222')
  t.same(namesOf([agent('support', '44444444'), agent('support 44444444', '33333333'), oldest]), ['agent_44444444000040008000000000000000', 'support_44444444', 'support'])
})

t.test('a tool is described in its owner\'s words, or by its name', async t => {
  t.match(toTools([agent('One', '11111111', 'Counts.'), agent('Two', '22222222')]), [{ title: 'One', description: 'Counts.' }, { title: 'Two', description: 'Asks the agent "Two".' }])
})

t.test('names are unique and admitted, and each means its agent', async () => {
  const names = fc.array(fc.tuple(fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('a', 'A', 'a_11111111', 'ä')), fc.constantFrom('11111111', '22222222', 'aaaaaaaa')), { maxLength: 8 })
  fc.assert(fc.property(names, given => {
    const agents = given.map(([name, start], index) => ({ name, id: `${start}-0000-4000-8000-${String(index).padStart(12, '0')}`, description: null }))
    const tools = namesOf(agents)
    return new Set(tools).size === agents.length && tools.every((tool, index) => /^[a-z][a-zA-Z0-9_-]{0,63}$/.test(tool) && findAgent(agents, tool) === agents[index])
  }))
})
