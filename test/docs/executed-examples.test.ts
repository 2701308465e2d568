import { execFile } from 'node:child_process'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { signAccessToken } from '../../src/auth/access-token.js'
import { buildPrograms } from '../support/build.js'
import { delta, ending, openStream } from '../support/doubles/gateway.js'
import { findDeno } from '../support/edge.js'
import { DEMO_USER, JWT_SECRET, PYTHON_AGENT, type Service, startService } from '../support/helper.js'
import { findPython } from '../support/python.js'
import { type Fence, readDocuments } from './markdown.js'
import { createFolder } from './python-modules.js'
import { openSql } from './sql.js'
import { commandsIn } from './static-examples.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const TIMEOUT = 120_000

const fences = readDocuments().flatMap(({ fences }) => fences).filter(({ words }) => !words.includes('no-test'))
const ofKind = (language: string, word?: string) => fences.filter(fence => fence.language === language && fence.words[0] === word)
const placeOf = ({ file, line }: Fence) => `line ${line} of ${file}`

t.test('what clients do', async t => {
  const scripts = ofKind('sh').filter(({ words, text }) => words[0] !== 'tutorial' && commandsIn(text).some(command => /\bcurl\b/.test(command)))
  const programs = ofKind('js', 'run')
  const service = await startService(t)

  for (const fence of scripts) {
    t.test(`the commands of curl in ${placeOf(fence)} succeed`, async t => {
      if (!await hasCurl(t) || (fence.text.includes(PYTHON_AGENT) && !await findPython(t))) return
      const strict = 'curl () { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }\n'
      const TOKEN = await signAccessToken(JWT_SECRET, DEMO_USER)
      const { stdout } = await run('sh', ['-euc', strict + toService(fence.text, service)], { timeout: TIMEOUT, env: { ...process.env, TOKEN, SUPABASE_JWT_SECRET: JWT_SECRET } })
      t.notMatch(stdout, /"type":"error"/)
      t.match(stdout, /\S/, 'it prints an answer')
    })
  }

  for (const fence of programs) {
    t.test(`the program in ${placeOf(fence)} prints the answer`, async t => {
      const folder = await createFolder(t)
      const program = join(folder, 'program.mjs')
      // Node 20 has no WebSocket of its own, as browsers and newer versions have.
      await writeFile(join(folder, 'browser.mjs'), `import { createRequire } from 'node:module'
        globalThis.WebSocket ??= createRequire(${JSON.stringify(ROOT)})('ws').WebSocket`)
      await writeFile(program, toService(fence.text, service))
      const { stdout } = await run(process.execPath, ['--import', join(folder, 'browser.mjs'), program], { timeout: TIMEOUT })
      t.equal(stdout.replaceAll('\n', ''), 'Hello world')
    })
  }
})

t.test('what clients do that go on after a cut', async t => {
  const service = await startService(t, { SSE_MAX_SECONDS: '1' })
  const deno = await findDeno(t)
  const python = await findPython(t)
  const commands = (fence: Fence): Array<[name: string, command: string | undefined, args: string[]]> => fence.language === 'python'
    ? [['Python', python, []]]
    : [['Node', process.execPath, []], ['Deno', deno, ['run', '--allow-net', '--no-lock', '--no-remote']]]

  for (const fence of [...ofKind('js', 'client'), ...ofKind('python', 'client')]) {
    for (const [name, command, args] of commands(fence)) {
      await t.test(`the program in ${placeOf(fence)} prints the answer in ${name}`, async t => {
        if (command === undefined) return
        const folder = await createFolder(t)
        const program = join(folder, fence.language === 'python' ? 'program.py' : 'program.mjs')
        await copyFile(join(await buildPrograms(), 'client.js'), join(folder, 'client.js'))
        await writeFile(program, toService(fence.text, service))
        answerWhenAskedAgain(service)
        const { stdout } = await run(command, [...args, program], { timeout: TIMEOUT })
        t.equal(stdout, 'Hello again\n')
      })
    }
  }
})

t.test('what SQL does', async t => {
  const sql = await openSql(t)
  for (const fence of ofKind('sql')) {
    t.test(`the statements in ${placeOf(fence)} succeed`, async () => {
      await sql.exec('begin')
      await sql.exec(fence.text).finally(() => sql.exec('rollback'))
    })
  }
})

function toService (text: string, { url }: Service): string {
  return text.replaceAll('http://localhost:3000', url).replaceAll('ws://localhost:3000', url.replace('http', 'ws'))
}

/** Says the beginning, and the rest once somebody asks for the run that was begun. */
function answerWhenAskedAgain ({ app, gateway }: Service): void {
  gateway.reply = response => {
    openStream(response).write(delta('Hello'))
    const finish = ({ method, url }: { method?: string, url?: string }) => {
      if (method !== 'GET' || !url!.startsWith('/api/runs/')) return
      app.server.off('request', finish)
      response.end(delta(' again') + ending())
    }
    app.server.on('request', finish)
  }
}

async function hasCurl (t: Test): Promise<boolean> {
  try {
    await run('curl', ['--version'])
    return true
  } catch (error) {
    if (process.env.REQUIRE_SERVICES) throw error
    t.comment('LEFT OUT: no curl on this machine; this test needs it')
    return false
  }
}
