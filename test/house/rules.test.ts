import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { importsOf, ROOT } from '../../scripts/house/imports.js'
import { drawDesign } from '../../scripts/house/picture.js'
import { checkPlugins, parsePlugin } from '../../scripts/house/plugins.js'
import { checkFolders, checkHouse, checkPluginSizes, checkRooms, findCircles } from '../../scripts/house/rules.js'
import { LIMITS } from '../../scripts/house/rooms.js'

/** Prints which rules each of its arguments breaks: JSON of a file's path and its code. */
const LINT = `import { ESLint } from 'eslint'
  const eslint = new ESLint({ cwd: process.cwd() })
  for (const argument of process.argv.slice(1)) {
    const [filePath, code] = JSON.parse(argument)
    const [{ messages }] = await eslint.lintText(code, { filePath })
    console.log(messages.map(({ ruleId }) => ruleId).join())
  }`

const of = (files: string[], packages: string[] = []) => ({ files, packages })

t.test('the house keeps its rules', async t => {
  t.same(checkHouse(), [])
})

t.test('the picture of the rooms in docs/design.md is as the imports are', async t => {
  const design = readFileSync(join(ROOT, 'docs/design.md'), 'utf8')
  t.match(design, /<!-- rooms -->\n```mermaid\nflowchart TD\n/)
  t.equal(drawDesign(design), design, 'npm run picture draws it anew')
})

t.test('an import that points up is found, whichever way it is written', async t => {
  const imports = importsOf('src/lib/poll.ts', [
    "import { Executor } from '../executor/run/executor.js'",
    "import type { Run } from '#shared/schemas.ts'",
    "const later = () => import('../redis/link.js')",
    "export * from '../plugins/auth.js'",
    "import fastify from 'fastify'"
  ].join('\n'))
  t.same(checkRooms(new Map([['src/lib/poll.ts', imports]])).map(problem => problem.split(':')[0]), [
    'src/lib/poll.ts must not import src/executor/run/executor.ts',
    'src/lib/poll.ts must not import supabase/functions/_shared/schemas.ts',
    'src/lib/poll.ts must not import src/redis/link.ts',
    'src/lib/poll.ts must not import src/plugins/auth.ts',
    'src/lib/poll.ts must not import fastify'
  ])
})

t.test('a file outside of all rooms is found', async t => {
  t.match(checkRooms(new Map([['src/attic/box.ts', of([])]])), [/is in no room/])
})

t.test('a circle is found, however long, and no path that merely meets again', async t => {
  const imports = new Map([['a', of(['b', 'c'])], ['b', of(['d'])], ['c', of(['d'])], ['d', of([])]])
  t.same(findCircles(imports), [])
  imports.set('d', of(['a']))
  t.same(findCircles(imports), ['circle: a → b → d → a'])
})

t.test('a folder that is too full, and a plugin that is too long, are found', async t => {
  const files = (folder: string, count: number) => Array.from({ length: count }, (_, index) => `${folder}/${index}.ts`)
  t.same(checkFolders([...files('src/lib', LIMITS.folder), ...files('src/plugins', LIMITS.plugins)]), [])
  t.equal(checkFolders([...files('src/lib', LIMITS.folder + 1), ...files('src/plugins', LIMITS.plugins + 1)]).length, 2)
  t.same(checkPluginSizes([['src/plugins/x.ts', '\n'.repeat(LIMITS.plugin)]]), [])
  t.equal(checkPluginSizes([['src/plugins/x.ts', '\n'.repeat(LIMITS.plugin + 1)]]).length, 1)
})

t.test('a plugin names exactly the plugins whose decorators it uses', async t => {
  const owner = parsePlugin('src/plugins/database.ts', "app.decorate('database', db); export default fp(database, { name: 'database' })")
  const user = (code: string, dependencies: string) => parsePlugin('src/plugins/user.ts', `${code}; export default fp(user, { name: 'user', dependencies: [${dependencies}] })`)
  for (const code of ['app.database.call()', 'const { database, log } = app', 'function open ({ database: db }: FastifyInstance) {}']) {
    t.same(checkPlugins([owner, user(code, "'database'")]), [], code)
    t.match(checkPlugins([owner, user(code, '')]), [/uses a decorator of database/], code)
  }
  t.match(checkPlugins([owner, user('app.log.info()', "'database'")]), [/depends on database and uses no decorator/])
})

t.test('eslint refuses imports between rooms, Fastify, and what is too long', async t => {
  const cases = [
    ['src/lib/poll.ts', "import '../redis/link.js'\n", 'no-restricted-imports'],
    ['src/executor/gateway/http/client.ts', "import '../../../plugins/auth.js'\n", 'no-restricted-imports'],
    ['src/executor/run/runs.ts', "import '../../app.js'\n", 'no-restricted-imports'],
    ['src/executor/run/runs.ts', "import 'fastify'\n", 'no-restricted-imports'],
    ['src/executor/run/runs.ts', "import '../events/event-log.js'\n", ''],
    ['src/plugins/runs.ts', "import 'fastify'\n", ''],
    ['src/lib/poll.ts', `${"console.log('x')\n".repeat(LIMITS.file + 1)}`, 'max-lines'],
    ['src/lib/poll.ts', `export function long () {\n${"  console.log('x')\n".repeat(LIMITS.function)}}\n`, 'max-lines-per-function']
  ] as const
  // In a process without tsx, whose loader in Node 20 cannot load the style's packages.
  const program = [process.execPath, '--input-type=module', '-e', LINT, ...cases.map(([file, code]) => JSON.stringify([join(ROOT, file), code]))]
  const { stdout } = await promisify(execFile)('env', ['-i', `PATH=${process.env.PATH}`, ...program], { cwd: ROOT })
  t.same(stdout.split('\n').slice(0, -1), cases.map(([,, rules]) => rules))
})
