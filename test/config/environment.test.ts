import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { DOCUMENTS } from '../../scripts/build-docs.js'
import { type Environment, GROUPS, type Reader, type Variable, VARIABLES } from '../../src/config/environment.js'
import { readConfig } from '../../supabase/functions/agent-runtime/config.ts'
import { POSTGRES_URL } from '../support/helper.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const ALL: Array<[string, Variable]> = Object.entries(VARIABLES)

t.test('each variable has a group, and is explained in one line', t => {
  for (const [name, { group, text }] of ALL) {
    t.match(text, /^\S.{10,}\S$/, name)
    t.ok(group in GROUPS, name)
  }
  const groups = ALL.map(([, { group }]) => group)
  t.same([...new Set(groups)], Object.keys(GROUPS), 'the groups stand in their order')
  t.same(groups, groups.toSorted((a, b) => Object.keys(GROUPS).indexOf(a) - Object.keys(GROUPS).indexOf(b)), 'and each in one place')
  t.end()
})

t.test('what is made from the table is current: npm run docs', async t => {
  for (const [path, render] of Object.entries(DOCUMENTS)) t.equal(await readFile(join(ROOT, path), 'utf8'), render(), path)
})

t.test('the edge function reads the variables that the table says', async t => {
  const read = new Set<string>()
  readConfig(name => {
    read.add(name)
    return undefined
  })
  for (const name of await namesIn('supabase/functions/agent-runtime', /Deno\.env\.get\('(\w+)'\)/g)) read.add(name)
  t.same([...read].sort(), namesOf('edge function'))
  t.equal(readConfig(() => undefined).maxMs, VARIABLES.EDGE_MAX_SECONDS.schema.default! as number * 1000)
})

t.test('the tests read the variables that the table says', async t => {
  // The last one is what a page's script is built without.
  const others = ['PATH', 'A_SECRET_OF_THE_SERVICE', 'NODE_ENV']
  t.same((await namesIn('test', /process\.env\.(\w+)/g)).filter(name => !others.includes(name)), namesOf('tests'))
  t.equal(POSTGRES_URL, process.env.TEST_POSTGRES_URL ?? VARIABLES.TEST_POSTGRES_URL.schema.default)
})

t.test('the service reads its variables nowhere but in its configuration', async t => {
  t.same(await namesIn('src', /process\.env\.(\w+)/g), [])
})

function namesOf (reader: Reader): string[] {
  return ALL.filter(([, { readBy }]) => readBy.includes(reader)).map(([name]) => name).sort()
}

/** The first groups of all matches in the TypeScript files below a folder, sorted. */
async function namesIn (folder: string, pattern: RegExp): Promise<string[]> {
  const files = (await readdir(join(ROOT, folder), { recursive: true })).filter(file => file.endsWith('.ts'))
  const texts = await Promise.all(files.map(file => readFile(join(ROOT, folder, file), 'utf8')))
  return [...new Set(texts.flatMap(text => [...text.matchAll(pattern)].map(([, name]) => name!)))].sort()
}

/** Held by the compiler, and never called: the types of the variables follow from the table. */
export function compileTimeTests (env: Environment): [number, string | undefined, boolean] {
  // @ts-expect-error a number is no text
  const port: string = env.PORT
  // @ts-expect-error a variable of the edge function's alone
  const seconds: unknown = env.EDGE_MAX_SECONDS
  // @ts-expect-error an optional variable may be missing
  const url: string = env.SUPABASE_URL
  return [env.PORT, port + url + String(seconds), env.EMBEDDED]
}
