import { execFile } from 'node:child_process'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { fetchForTest } from '../../packages/fetch.js'
import { DEMO_AGENT, DEMO_KEY, startService } from '../../support/helper.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const TIMEOUT = 240_000

/** A program that asks an agent and looks at the run, by a client whose types are the document's. */
const PROGRAM = `import createClient from 'openapi-fetch'
import type { paths } from './api.js'

const [baseUrl, key] = process.argv.slice(2)
const client = createClient<paths>({ baseUrl: baseUrl!, headers: { 'x-api-key': key! } })
const { data: answer, error } = await client.POST('/api/agent/execute', {
  body: { agentId: '${DEMO_AGENT}', messages: [{ role: 'user', content: 'Hi' }], stream: false }
})
if (!answer) throw new Error(error?.code)
const { data: run } = await client.GET('/api/runs/{id}', { params: { path: { id: (answer as { runId: string }).runId } } })
const status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | undefined = run?.status
const { error: refusal } = await client.GET('/api/credits')
console.log(JSON.stringify({ status, tokens: run?.usage?.totalTokens, response: run?.response, refused: refusal?.code }))
`

t.test('a client that is generated from the OpenAPI document', async t => {
  const directory = await fetchForTest(t, 'api-documents')
  if (directory === undefined) return
  const service = await startService(t)
  const folder = t.testdir()
  const modules = join(folder, 'node_modules')
  await mkdir(modules)
  for (const name of ['openapi-fetch', 'openapi-typescript-helpers']) await symlink(join(directory, 'node_modules', name), join(modules, name))
  await symlink(join(ROOT, 'node_modules/@types'), join(modules, '@types'))
  await symlink(join(ROOT, 'node_modules/undici-types'), join(modules, 'undici-types'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await writeFile(join(folder, 'openapi.json'), JSON.stringify((await service.request('GET', '/docs/json')).body))
  // What has a default may be left out of a request.
  await run(process.execPath, [join(directory, 'node_modules/openapi-typescript/bin/cli.js'), 'openapi.json', '-o', 'api.ts', '--default-non-nullable=false'], { cwd: folder, timeout: TIMEOUT })

  /** What the compiler says of programs, by their names; nothing if they are right. */
  async function compile (programs: Record<string, string>): Promise<string> {
    for (const [name, text] of Object.entries(programs)) await writeFile(join(folder, name), text)
    const options = ['--strict', '--noUncheckedIndexedAccess', '--module', 'nodenext', '--target', 'es2023', '--types', 'node', '--skipLibCheck']
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    return run(process.execPath, [tsc, ...options, ...Object.keys(programs)], { cwd: folder, timeout: TIMEOUT }).then(({ stdout }) => stdout, ({ stdout }) => String(stdout))
  }

  t.test('compiles, and speaks to the service', async t => {
    t.equal(await compile({ 'program.ts': PROGRAM }), '')
    const { stdout } = await run(process.execPath, [join(folder, 'program.js'), service.url, DEMO_KEY], { timeout: TIMEOUT })
    t.match(JSON.parse(stdout), { status: 'succeeded', tokens: Number, response: 'Hello world', refused: 'forbidden' })
  })

  t.test('does not compile with a field that is wrong', async t => {
    const wrong: Record<string, [right: string, wrong: string, says: RegExp]> = {
      'unknown-field.ts': ['agentId: \'', 'agent: \'', /'agent'/],
      'wrong-value.ts': ['role: \'user\'', 'role: \'nobody\'', /"nobody"/],
      'unknown-answer.ts': ['run?.usage?.totalTokens', 'run?.usage?.tokens', /Property 'tokens' does not exist/],
      'missing-field.ts': ['messages: [{ role: \'user\', content: \'Hi\' }], ', '', /messages/],
      'unknown-address.ts': ['GET(\'/api/credits\')', 'GET(\'/api/debits\')', /error/]
    }
    const said = await compile(Object.fromEntries(Object.entries(wrong).map(([name, [right, wrong]]) => [name, PROGRAM.replace(right, wrong)])))
    for (const [name, [, , says]] of Object.entries(wrong)) t.match(said.split('\n').filter(line => line.startsWith(name)).join('\n'), says, name)
    t.match(await readFile(join(folder, 'api.ts'), 'utf8'), /executeAgent/)
  })
})
