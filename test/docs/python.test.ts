import t from 'tap'
import { createDataDir, DEMO_USER, startService } from '../support/helper.js'
import { createAgents, findPython } from '../support/python.js'
import { type Fence, readDocument, readDocuments, sectionOf, tableOf } from './markdown.js'
import { installModules } from './python-modules.js'

const document = readDocument('docs/reference/python.md')
const MODULE = `
def run(input, context):
    yield {
        'input': sorted(input),
        'agent': sorted(input['agent']),
        'context': sorted(name for name in dir(context) if not name.startswith('_')),
    }
`

t.test('python.md lists what an agent in Python gets, and nothing else', async t => {
  const python = await findPython(t)
  if (!python) return
  await installModules(t, python, { contract: MODULE })
  const dataDir = await createDataDir(t)
  const ids = await createAgents(dataDir, ['documented.contract:run'])
  const service = await startService(t, { DATA_DIR: dataDir, PYTHON_BIN: python })
  const { text } = await service.execute({ agentId: ids['documented.contract:run'] })
  const got = JSON.parse(text)

  const { rows } = tableOf(sectionOf(document, 'Input'), 'key')
  t.strictSame(got.input, rows.map(([key]) => key).sort())
  const [, , agent] = /^(.*?): (.*)$/.exec(rows.find(([key]) => key === 'agent')![1]!)!
  t.strictSame(got.agent, agent!.split(', ').sort())
  const members = tableOf(sectionOf(document, 'Context'), 'member').rows.map(([member]) => member!.replace(/\(.*/, ''))
  t.strictSame(got.context, members.sort())
})

t.test('the examples in Python', async t => {
  const python = await findPython(t)
  if (!python) return
  const fences = readDocuments().flatMap(({ fences }) => fences).filter(({ language }) => language === 'python')
  const agents = fences.filter(({ words }) => words[0]?.startsWith('agent='))
  const tools = fences.filter(({ words }) => words[0]?.startsWith('tool='))
  t.ok(agents.length > 0 && tools.length > 0)
  await installModules(t, python, Object.fromEntries([...agents, ...tools].map(fence => [moduleOf(fence), fence.text])))
  const dataDir = await createDataDir(t)
  const ids = await createAgents(dataDir, agents.map(entrypointOf))
  const service = await startService(t, { DATA_DIR: dataDir, PYTHON_BIN: python })

  for (const fence of agents) {
    t.test(`the agent in ${placeOf(fence)} answers`, async t => {
      const { events, text } = await service.execute({
        agentId: ids[entrypointOf(fence)], messages: [{ role: 'user', content: 'milk, bread.\n\napples, pears.' }]
      })
      t.equal(events.at(-1)?.type, 'done')
      t.match(text, /milk/i)
    })
  }

  for (const fence of tools) {
    t.test(`the function in ${placeOf(fence)} answers`, async t => {
      let output = ''
      await service.app.python.run(DEMO_USER, {
        entrypoint: entrypointOf(fence),
        input: JSON.parse(fence.words[1]!.slice('args='.length)),
        signal: new AbortController().signal,
        maxOutput: 1000,
        onText: text => { output += text },
        onProgress () {}
      })
      t.match(output, /\S/)
    })
  }
})

/** A package of the documents' own: `examples` is that of the project. */
function entrypointOf ({ words }: Fence): string {
  return words[0]!.replace(/^\w+=examples\./, 'documented.')
}

function moduleOf (fence: Fence): string {
  return entrypointOf(fence).replace(/^documented\.|:.*$/g, '')
}

function placeOf ({ file, line }: Fence): string {
  return `line ${line} of ${file}`
}
