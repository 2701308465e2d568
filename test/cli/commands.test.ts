import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { pathOf } from '../support/process.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** As `tsx` starts a program, without a process of its own. */
const TSX = ['--import', 'tsx']
const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))

/** Commands by their npm script: how the program is started, and something of what it says of itself. */
const COMMANDS: Record<string, { args: string[], says: RegExp }> = {
  start: { args: [pathOf('server.js')], says: /^node dist\/server\.js \[options\]: serves/ },
  worker: { args: [pathOf('worker.js')], says: /^node dist\/worker\.js \[options\]: makes runs/ },
  demo: { args: [pathOf('demo.js')], says: /--python {2}executes/ },
  token: { args: [pathOf('token.js')], says: /--user <id> .+\(default: 11111111-1111-4111-8111-111111111111\)$/m },
  migrate: { args: [pathOf('migrate.js')], says: /--url <postgres url> .+$/m },
  audit: { args: [pathOf('audit.js')], says: /--accept <reason> .+$/m },
  dev: { args: [...TSX, 'src/cli/dev.ts'], says: /serves the sources/ },
  chaos: { args: [...TSX, 'test/chaos/cli.ts'], says: /--blows <n> .+\(default: 100\)$/m },
  siege: { args: [...TSX, 'test/siege/cli.ts'], says: /--only <attack,…> .+: .+$/m },
  bench: { args: [...TSX, 'bench/cli.ts'], says: /--url <postgres url> .+\(default: postgres:.+\)$/m },
  picture: { args: [...TSX, 'scripts/house/picture.ts'], says: /draws the rooms/ },
  schema: { args: [...TSX, 'scripts/build-migration.ts'], says: /migration of the changed functions/ },
  docs: { args: [...TSX, 'scripts/build-docs.ts'], says: /\.env\.example/ },
  fetch: { args: [...TSX, 'test/packages/cli.ts'], says: /\(ag-ui, ai-sdk, api-documents, axe-core, deno, knip, mcp, node, openai, playwright-core, supabase\)/ }
}

/** Scripts that are commands of cli.js, which test/cli/administer.test.ts and test/cli/doctor.test.ts test. */
const ADMINISTER = ['agents', 'doctor', 'keys', 'runs', 'users']

/** Scripts that are commands of others. */
const OTHERS = ['build', 'check', 'coverage', 'knip', 'pretest', 'style', 'test', 'test:all', 'test:watch', 'types']

t.test('every command of ours', async t => {
  t.same(Object.keys(scripts).filter(name => ![...OTHERS, ...ADMINISTER].includes(name)).sort(), Object.keys(COMMANDS).sort(), 'is here')
  for (const [name, { args, says }] of Object.entries(COMMANDS)) {
    t.test(`npm run ${name}`, async t => {
      const help = await run(t, [...args, '--help'])
      t.match(help, { code: 0, stderr: '', stdout: says }, 'explains itself')
      t.match(help.stdout, /^.+: .+\n( {2}--.+\n)* {2}--help +prints this\n$/, 'with a line for each option')
      t.match(await run(t, [...args, '--nonsense']), {
        code: 1, stdout: '', stderr: /^Unknown option '--nonsense': see (npm run \w+ --|node dist\/\w+\.js) --help\n$/
      }, 'refuses what it does not know')
    })
  }
})

t.test('the commands of administration are programs of cli.ts', async t => {
  for (const name of ADMINISTER) t.equal(scripts[name], `tsx src/cli/cli.ts ${name}`)
})

t.test('npm start and npm run worker', async t => {
  for (const [script, program] of [['start', 'server'], ['worker', 'worker']]) {
    t.equal(scripts[script!], `node start.js ${program}`)
  }

  t.test('say that there is no build yet', async t => {
    const directory = await copyStart(t, {})
    t.same(await run(t, [join(directory, 'start.js'), 'server']), {
      code: 1, stdout: '', stderr: 'There is no build yet: run npm run build first.\n'
    })
    for (const [program, script] of [['server', 'npm start'], ['worker', 'npm run worker']] as const) {
      t.same(await run(t, [join(directory, 'start.js'), program, '--help']), {
        code: 0, stdout: `${script}: runs dist/${program}.js, which npm run build makes. With a build this prints its options.\n`, stderr: ''
      })
    }
  })

  t.test('are the program itself: it has the arguments and the signals', async t => {
    const directory = await copyStart(t, {
      dist: { 'server.js': "process.once('SIGTERM', () => { console.log('ended'); process.exit() }); console.log(...process.argv.slice(2)); setInterval(() => {}, 1000)" }
    })
    const child = start(t, [join(directory, 'start.js'), 'server', '--option', 'value'])
    const [first] = await once(child.stdout!, 'data')
    t.equal(`${first}`, '--option value\n')
    child.kill('SIGTERM')
    const [second] = await once(child.stdout!, 'data')
    t.equal(`${second}`, 'ended\n')
  })
})

t.test('npm run demo joins nothing that the environment or a .env file names', async t => {
  const folder = t.testdir({ '.env': 'SUPABASE_DB_URL=postgres://127.0.0.1:1/none\nMAX_CONCURRENT_RUNS=0\n' })
  const others = ['REDIS_URL=redis://127.0.0.1:1', 'WEB_CONCURRENCY=2', 'SUPABASE_URL=http://127.0.0.1:1']
  const child = spawn('env', ['-i', `PATH=${process.env.PATH}`, ...others, process.execPath, pathOf('demo.js')], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  t.match({ code, stdout }, { code: 0, stdout: /Credits before: 100[^]+Done in[^]+Credits after: 99/ }, stderr)
})

async function copyStart (t: Test, files: Parameters<Test['testdir']>[0]): Promise<string> {
  const directory = t.testdir({ 'package.json': '{"type": "module"}', ...files as object })
  await copyFile(join(ROOT, 'start.js'), join(directory, 'start.js'))
  return directory
}

/** A process of Node without this test's environment, which has a loader of tap's. */
function start (t: Test, args: string[]): ChildProcess {
  const child = spawn('env', ['-i', `PATH=${process.env.PATH}`, process.execPath, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

async function run (t: Test, args: string[]) {
  const child = start(t, args)
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')])
  return { code, stdout, stderr }
}
