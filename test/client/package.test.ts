import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { readDocument } from '../docs/markdown.js'
import { buildPrograms } from '../support/build.js'
import { say } from '../support/doubles/gateway.js'
import { findDeno } from '../support/edge.js'
import { DEMO_AGENT, DEMO_KEY, startService } from '../support/helper.js'

const execute = promisify(execFile)

/** As somebody writes it who has installed the package. */
const PROGRAM = `
import { JeesiError, type NumberedEvent, run, RunText } from 'jeesi-railway-backend/client'

const [url, token, agentId] = (globalThis as any).process.argv.slice(2) as [string, string, string]
const text = new RunText()
let last: NumberedEvent | undefined
for await (const event of run({ url, token, agentId, messages: [{ role: 'user', content: 'Hi' }] })) {
  text.add(event)
  last = event
}
const failure = await run({ url, token: 'nobody', agentId, messages: [] })[Symbol.asyncIterator]().next().then(() => undefined, (error: JeesiError) => error)
console.log([text.value, last?.type === 'done' && last.usage.totalTokens > 0, failure instanceof JeesiError && failure.code].join(" "))
`

/** A project that has the package among its own, and no other. */
async function createProject (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'jeesi-client-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const dist = await buildPrograms()
  const installed = join(folder, 'node_modules/jeesi-railway-backend')
  await mkdir(installed, { recursive: true })
  await cp(dist, join(installed, 'dist'), { recursive: true })
  await cp(join(import.meta.dirname, '../../package.json'), join(installed, 'package.json'))
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  await writeFile(join(folder, 'program.ts'), PROGRAM)
  return folder
}

t.test('the client as a package', async t => {
  const folder = await createProject(t)
  const { gateway, url } = await startService(t)
  gateway.reply = say('Hello', ' there')
  const parameters = [url, DEMO_KEY, DEMO_AGENT]

  t.test('is typed, and runs in Node without any other package', async t => {
    const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
    const { stdout } = await execute(process.execPath, [tsc, '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom,dom.asynciterable', 'program.ts'], { cwd: folder })
      .catch(error => error)
    t.equal(stdout, '')
    t.equal((await execute(process.execPath, ['program.js', ...parameters], { cwd: folder })).stdout, 'Hello there true unauthorized\n')
  })

  t.test('does what docs/how-to/use-the-client.md says', async t => {
    const [example] = readDocument('docs/how-to/use-the-client.md').fences.filter(({ language }) => language === 'js')
    await writeFile(join(folder, 'example.js'), example!.text.replace('http://localhost:3000', url))
    t.equal((await execute(process.execPath, ['example.js'], { cwd: folder })).stdout, 'Hello there\n')
  })

  t.test('runs in Deno', async t => {
    const deno = await findDeno(t)
    if (!deno) return
    const { stdout } = await execute(deno, ['run', '--allow-net', '--node-modules-dir=manual', '--no-lock', '--no-remote', 'program.ts', ...parameters], { cwd: folder })
    t.equal(stdout, 'Hello there true unauthorized\n')
  })
})
