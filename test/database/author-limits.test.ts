import pg from 'pg'
import t, { type Test } from 'tap'
import { AUTHOR_LIMITS } from '#shared/bounds/author-limits.ts'
import { createPostgres, DEMO_AGENT, findPostgres } from '../support/helper.js'

const TOO_LARGE = { code: 'PT400', hint: 'bad_request' }

async function openDatabase (t: Test) {
  const client = new pg.Client({ connectionString: await createPostgres(t) })
  await client.connect()
  t.teardown(() => client.end())
  const query = async (sql: string, values: unknown[] = []) => (await client.query(sql, values)).rows
  return {
    query,
    setAgent: (column: string, value: unknown) => query(`update public.agents set ${column} = $1 where id = $2`, [value, DEMO_AGENT]),
    setSchedule: (column: string, value: unknown) => query(`update public.agent_schedules set ${column} = $1 where agent_id = $2`, [value, DEMO_AGENT]),
    setFunction: (column: string, value: unknown) => query(`update public.agent_functions set ${column} = $1 where agent_id = $2`, [value, DEMO_AGENT])
  }
}

/** JSON of an object of so many bytes, as the database writes it. */
const json = (bytes: number, start = '{"template": "') => `${start}${'x'.repeat(bytes - start.length - start.split('{').length)}"${'}'.repeat(start.split('{').length - 1)}`
const words = (count: number) => Array.from({ length: count }, (_, n) => `word${n}`)

t.test('what authors may write is refused beyond the limits that it is cut to', async t => {
  if (!await findPostgres(t)) return
  const { query, setAgent, setFunction, setSchedule } = await openDatabase(t)
  await query('delete from public.agent_functions where agent_id = $1', [DEMO_AGENT])
  // As in projects whose column has no length.
  await query('alter table public.agents alter column ai_model type text')
  const addFunctions = (count: number) => query(`insert into public.agent_functions (agent_id, name, function_type)
    select $1, 'fn', 'conditional' from generate_series(1, $2::integer)`, [DEMO_AGENT, count])

  t.test('texts, by their bytes', async t => {
    await addFunctions(1)
    await query('insert into public.agent_schedules (agent_id, user_id) select id, user_id from public.agents where id = $1', [DEMO_AGENT])
    const cases: Array<[set: typeof setAgent, column: string, max: number, make: (bytes: number) => unknown]> = [
      [setAgent, 'name', AUTHOR_LIMITS.agentName, bytes => 'x'.repeat(bytes)],
      [setAgent, 'description', AUTHOR_LIMITS.agentDescription, bytes => 'x'.repeat(bytes)],
      [setAgent, 'ai_model', AUTHOR_LIMITS.model, bytes => 'x'.repeat(bytes)],
      [setAgent, 'system_prompt', AUTHOR_LIMITS.systemPrompt, bytes => 'x'.repeat(bytes)],
      [setAgent, 'knowledge_base', AUTHOR_LIMITS.knowledgeBase, bytes => json(bytes)],
      [setFunction, 'name', AUTHOR_LIMITS.functionName, bytes => 'x'.repeat(bytes)],
      [setFunction, 'description', AUTHOR_LIMITS.functionDescription, bytes => 'x'.repeat(bytes)],
      [setFunction, 'function_type', AUTHOR_LIMITS.functionType, bytes => 'x'.repeat(bytes)],
      [setFunction, 'config', AUTHOR_LIMITS.config, bytes => json(bytes)],
      [setFunction, 'config', AUTHOR_LIMITS.parameters, bytes => `{"parameters": ${json(bytes)}}`],
      [setFunction, 'trigger_keywords', AUTHOR_LIMITS.keyword, bytes => ['x'.repeat(bytes)]],
      [setFunction, 'trigger_keywords', AUTHOR_LIMITS.keywords, words],
      [setFunction, 'config', AUTHOR_LIMITS.keywords, count => ({ condition_keyword: words(count).join(', ') })],
      [setFunction, 'config', AUTHOR_LIMITS.keywords, count => ({ condition_keyword: words(count) })],
      [setSchedule, 'prompt_template', AUTHOR_LIMITS.schedulePrompt, bytes => 'x'.repeat(bytes)],
      [setSchedule, 'output_config', AUTHOR_LIMITS.outputConfig, bytes => json(bytes)]
    ]
    for (const [set, column, max, make] of cases) {
      await t.resolves(set(column, make(max)), `${column}: ${max}`)
      await t.rejects(set(column, make(max + 1)), { ...TOO_LARGE, message: new RegExp(column) }, `${column}: ${max + 1}`)
    }
    await t.rejects(setAgent('system_prompt', 'ö'.repeat(AUTHOR_LIMITS.systemPrompt / 2 + 1)), TOO_LARGE)
  })

  t.test('functions, by their number', async t => {
    await query('delete from public.agent_functions where agent_id = $1', [DEMO_AGENT])
    await t.rejects(addFunctions(AUTHOR_LIMITS.functions + 1), { ...TOO_LARGE, message: `An agent has ${AUTHOR_LIMITS.functions} functions at the most.` })
    await addFunctions(AUTHOR_LIMITS.functions)
    await t.rejects(addFunctions(1), TOO_LARGE)
    await setFunction('description', 'Those that are there change.')
  })

  t.test('of rows that were larger before a run gets what is within the limits and a little more', async t => {
    const [{ user_id: user }] = await query('select user_id from public.agents where id = $1', [DEMO_AGENT])
    const begin = async (knowledge: unknown) => {
      await query('alter table public.agents disable trigger bound_agent')
      await query('update public.agents set knowledge_base = $1, system_prompt = $2 where id = $3', [JSON.stringify(knowledge), 'ö'.repeat(5_000_000), DEMO_AGENT])
      await query('alter table public.agents enable trigger bound_agent')
      const [{ begun }] = await query("select public.begin_run($1, $2, 'hash', '{}', gen_random_uuid(), 60) as begun", [user, DEMO_AGENT])
      return begun.agent
    }
    const max = AUTHOR_LIMITS.knowledgeBase
    const [small, mb, large] = [{ title: 'small', content: 'a' }, { content: 'k'.repeat(max - 100) }, { content: 'l'.repeat(20 * max) }]
    const cases: Array<[knowledge: unknown, read: unknown]> = [
      [[small, mb], [small, mb]],
      [[small, large, small], [small, 'l'.repeat(max)]],
      [[mb, large, large], [mb, 'l'.repeat(max)]],
      [[large.content], ['l'.repeat(max)]],
      [large, ['l'.repeat(max)]],
      [[small, Array.from({ length: max }, () => 1), small], [small, null]],
      [null, null]
    ]
    for (const [knowledge, read] of cases) t.same((await begin(knowledge)).knowledgeBase, read)
    t.equal((await begin([small])).systemPrompt.length, AUTHOR_LIMITS.systemPrompt + 1)
  })

  t.test('knowledge that was larger before is cut once, until it changes', async t => {
    const [{ user_id: user }] = await query('select user_id from public.agents where id = $1', [DEMO_AGENT])
    const max = AUTHOR_LIMITS.knowledgeBase
    const known = async () => {
      const [{ begun, agent }] = await query('select public.begin_run($1, $2, \'hash\', \'{}\', gen_random_uuid(), 60) as begun, public.get_agent($1, $2) as agent', [user, DEMO_AGENT])
      t.same(begun.agent.knowledgeBase, agent.knowledgeBase, 'to the service and to the edge function')
      return begun.agent.knowledgeBase
    }
    const setKnowledge = (knowledge: unknown) => setAgent('knowledge_base', JSON.stringify(knowledge))
    const cuts = () => query('select knowledge from public.agent_knowledge_cuts')
    await setKnowledge(['little'])
    await query('select public.cut_knowledge()')
    t.same(await cuts(), [], 'what is within the limit is not kept')

    await query('alter table public.agents disable trigger bound_agent')
    await setKnowledge([{ content: 'k'.repeat(20 * max) }])
    await query('alter table public.agents enable trigger bound_agent')
    const uncut = await known()
    await query('select public.cut_knowledge()')
    t.same(await known(), uncut)
    t.same(await cuts(), [{ knowledge: uncut }])
    // Whoever reads this has not read the whole.
    await query('update public.agent_knowledge_cuts set knowledge = $1', ['["cut"]'])
    t.same(await known(), ['cut'])
    await query('update public.agents set name = \'Renamed\', knowledge_base = knowledge_base where id = $1', [DEMO_AGENT])
    t.same(await known(), ['cut'], 'a page saves the row as it is')
    await query('alter table public.agents alter column knowledge_base drop default, alter column knowledge_base type json')
    await query('update public.agents set name = \'Renamed once more\' where id = $1', [DEMO_AGENT])
    t.same(await known(), ['cut'], 'the platform gives the column another type')
    await query('alter table public.agents alter column knowledge_base type jsonb')
    await setKnowledge(['new'])
    t.same([await known(), await cuts()], [['new'], []])
  })

  t.test('and rows that were larger before can be saved as they are', async t => {
    await query('alter table public.agents disable trigger bound_agent')
    await query('alter table public.agent_functions disable trigger bound_function')
    await setAgent('system_prompt', 'x'.repeat(AUTHOR_LIMITS.systemPrompt + 1))
    await setFunction('config', json(AUTHOR_LIMITS.config + 1))
    await query('alter table public.agents enable trigger bound_agent')
    await query('alter table public.agent_functions enable trigger bound_function')
    await query('update public.agents set system_prompt = system_prompt, temperature = 0.2 where id = $1', [DEMO_AGENT])
    await query('update public.agent_functions set config = config, name = \'renamed\' where agent_id = $1', [DEMO_AGENT])
    // A page that saves by an upsert.
    await query(`insert into public.agents (id, user_id, name, purpose, system_prompt) select id, user_id, 'Saved', purpose, system_prompt from public.agents where id = $1
      on conflict (id) do update set name = excluded.name, system_prompt = excluded.system_prompt`, [DEMO_AGENT])
    t.match(await query('select name from public.agents where id = $1', [DEMO_AGENT]), [{ name: 'Saved' }])
    await t.rejects(setAgent('system_prompt', 'y'.repeat(AUTHOR_LIMITS.systemPrompt + 1)), TOO_LARGE)
  })
})
