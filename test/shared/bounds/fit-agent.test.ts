import fc from 'fast-check'
import t from 'tap'
import type { Agent, AgentFunction } from '#shared/agent.ts'
import { AUTHOR_LIMITS } from '#shared/bounds/author-limits.ts'
import { fitAgent } from '#shared/bounds/fit-agent.ts'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'

const fn = (fields: Partial<AgentFunction> = {}): AgentFunction => ({ name: 'fn', type: 'data_transform', triggerKeywords: ['go'], config: {}, ...fields })

t.test('an agent within the limits stays the same object', async t => {
  const agent: Agent = { systemPrompt: 'x'.repeat(AUTHOR_LIMITS.systemPrompt), knowledgeBase: ['a', { title: 'b', content: 'c' }], functions: [fn(), fn({ config: null as never })] }
  const { agent: fitted, cut } = fitAgent(agent)
  t.equal(fitted, agent)
  t.same(cut, [])
})

t.test('what is beyond the limits is cut, and its columns are named', async t => {
  const { agent, cut } = fitAgent({
    name: 'n'.repeat(AUTHOR_LIMITS.agentName + 1),
    systemPrompt: 'x'.repeat(AUTHOR_LIMITS.systemPrompt + 1),
    knowledgeBase: ['first', { title: 'long', content: 'y'.repeat(5_000_000) }, 'last'],
    functions: [
      fn({ name: 'words', triggerKeywords: ['w'.repeat(AUTHOR_LIMITS.keyword + 1), ...Array.from({ length: 10_000 }, (_, n) => `word${n}`)], description: 'd'.repeat(10_000) }),
      fn({ name: 'url', config: { url: `https://example.com/${'p'.repeat(AUTHOR_LIMITS.config)}` } }),
      fn({ name: 'schema', config: { parameters: { type: 'object', description: 's'.repeat(AUTHOR_LIMITS.parameters) } } }),
      ...Array.from({ length: 200 }, () => fn())
    ]
  })
  t.same(cut, ['name', 'system_prompt', 'knowledge_base', 'functions', 'function description', 'trigger_keywords', 'config'])
  t.equal(agent.systemPrompt!.length, AUTHOR_LIMITS.systemPrompt)
  t.equal((agent.knowledgeBase as string[]).length, 2, 'the last entry has no room')
  t.equal((agent.knowledgeBase as string[])[0], 'first')
  t.ok(jsonSizeWithin(agent.knowledgeBase, AUTHOR_LIMITS.knowledgeBase + 10) !== undefined)
  const [words, ...rest] = agent.functions!
  t.equal(words!.triggerKeywords.length, AUTHOR_LIMITS.keywords)
  t.equal(words!.triggerKeywords[0], 'word0', 'a word that is too long is left out whole')
  t.equal(words!.description!.length, AUTHOR_LIMITS.functionDescription)
  t.ok(rest.every(({ name }) => name === 'fn'), 'functions with half a configuration are left out')
  t.equal(agent.functions!.length, AUTHOR_LIMITS.functions - 2)
})

t.test('a configuration or knowledge that is nested too deep is left out', async t => {
  let deep: unknown = 'end'
  for (let level = 0; level < 20_000; level++) deep = [deep]
  const { agent, cut } = fitAgent({ knowledgeBase: ['first', deep], functions: [fn({ config: { body_template: deep } })] })
  t.same(cut, ['knowledge_base', 'config'])
  t.same(agent, { name: undefined, systemPrompt: undefined, knowledgeBase: ['first'], functions: [] })
})

t.test('property: the size of a JSON value is at most the length of its JSON', async () => {
  fc.assert(fc.property(fc.jsonValue(), value => jsonSizeWithin(value, Infinity)! <= JSON.stringify(value).length))
})
