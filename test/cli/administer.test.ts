import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { OPERATOR } from '../../src/administration/administration.js'
import { agents } from '../../src/cli/commands/agents.js'
import { keys } from '../../src/cli/commands/keys.js'
import { runs } from '../../src/cli/commands/runs.js'
import { runSubject, type Subject, UsageError } from '../../src/cli/commands/subcommands.js'
import { users } from '../../src/cli/commands/users.js'
import { bearer, createDataDir, createPostgres, DEMO_AGENT, DEMO_KEY, DEMO_USER, findPostgres, JWT_SECRET, OTHER_USER, startService } from '../support/helper.js'
import { launch, run } from '../support/process.js'

const UNKNOWN = '99999999-9999-4999-8999-999999999999'
const UUID_LINE = /^[0-9a-f-]{36}\n$/

type Cli = (...args: string[]) => Promise<{ code: number, stdout: string, stderr: string }>

/** Everything that commands do, whatever they act on; leaves an agent that is published. */
async function testCommands (t: Test, cli: Cli, user: string[]): Promise<void> {
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await cli(...args, '--json')
    t.equal(code, 0, `${args.join(' ')} ${stderr}`)
    return JSON.parse(stdout)
  }

  await t.test('agents are made, shown, changed, published and deleted', async t => {
    const made = await cli('agents', 'create', '--name', 'Mine', '--prompt', 'Be brief.', '--publish', ...user)
    t.match(made, { code: 0, stdout: UUID_LINE, stderr: '' }, 'its id is printed, and nothing else')
    const id = made.stdout.trim()
    t.match(await json('agents', 'show', id), { agentId: id, userId: DEMO_USER, name: 'Mine', systemPrompt: 'Be brief.', isPublished: true, model: null, functions: [] })
    t.match(await json('agents', 'edit', id, '--model', 'a/model', '--temperature', '0.5', '--prompt', ''), { model: 'a/model', temperature: 0.5, systemPrompt: null, name: 'Mine' })
    t.match(await json('agents', 'edit', id, '--python', 'examples.text_statistics:run'), { executor: 'python', entrypoint: 'examples.text_statistics:run' })
    t.match(await json('agents', 'unpublish', id), { isPublished: false })
    t.match(await json('agents', 'publish', id), { isPublished: true })
    t.match((await json('agents', 'list', '--published')).agents[0], { agentId: id }, 'newest first')
    t.match(await cli('agents', 'list', '--limit', '1'), { code: 0, stdout: /^agent .+\n.+ Mine .+\n… and more: --cursor [0-9a-f-]{36}\n$/ })
    t.match(await json('agents', 'delete', id), { agentId: id, deleted: true })
    t.same(await cli('agents', 'show', id), { code: 1, stdout: '', stderr: 'There is no such agent.\n' })
  })

  await t.test('keys are made, listed without themselves, and revoked', async t => {
    const made = await cli('keys', 'create', '--name', 'Mine', '--agent', DEMO_AGENT, ...user)
    t.match(made, { code: 0, stdout: /^jsk_\w{32}\n$/, stderr: '' })
    const { keys: [key] } = await json('keys', 'list', ...user)
    t.match(key, { name: 'Mine', isActive: true, agentIds: [DEMO_AGENT] })
    t.notMatch(JSON.stringify(key), made.stdout.trim())
    t.match(await json('keys', 'revoke', key.id, ...user), { isActive: false })
  })

  await t.test('users are made, once an address', async t => {
    const made = await cli('users', 'create', 'Somebody@Example.com')
    t.match(made, { code: 0, stdout: UUID_LINE, stderr: '' })
    t.match((await json('users', 'list', '--email', 'some')).users, [{ userId: made.stdout.trim(), email: 'somebody@example.com', isAdmin: false, credits: { creditsRemaining: Number } }])
    t.match(await cli('users', 'create', 'somebody@example.com'), { code: 1, stderr: 'There is a user with this e-mail address.\n' })
    t.match(await cli('users', 'create', 'nobody'), { code: 1, stderr: 'This is no e-mail address.\n' })
  })

  await t.test('users are found by e-mail, and given and taken credits', async t => {
    t.match((await json('users', 'list', '--email', 'OTHER')).users, [{ userId: OTHER_USER, email: 'other@jeesi.local', credits: { creditsRemaining: 3 } }])
    t.match(await cli('users', 'credits', OTHER_USER, '5', '--reason', 'A voucher'), { code: 0, stdout: 'gave 5: 8 credits remain\n' })
    t.match(await cli('users', 'credits', OTHER_USER, '5', '--take', '--reason', 'A mistake'), { code: 0, stdout: 'took 5: 3 credits remain\n' })
    t.match(await cli('users', 'credits', OTHER_USER, '9', '--take', '--reason', 'Too many'), { code: 1, stderr: 'The user has fewer credits left than that.\n' })
  })
}

const SUBJECTS: Record<string, Subject> = { agents, keys, runs, users }

t.test('commands refuse in a sentence what is given wrongly, with exit code 2', async t => {
  for (const [args, says] of [
    [['agents', 'nothing'], /^There is no command "nothing": agents has list, show,/],
    [['agents', 'create'], /^It needs --name <text>: see .+ --help$/m],
    [['agents', 'create', '--name', ' '], /^name must not be blank/],
    [['agents', 'create', '--name', 'x', '--user', 'me'], /^--user takes an id, a uuid/],
    [['agents', 'create', '--name', 'x', '--temperature', '3'], /^--temperature takes a number from 0 to 2/],
    [['agents', 'create', '--name', 'x', '--functions', '/nowhere'], /^\/nowhere cannot be read \(ENOENT\)/],
    [['agents', 'show'], /^It needs <id>/],
    [['agents', 'show', 'x'], /^<id> takes an id/],
    [['agents', 'show', UNKNOWN, 'x'], /^It takes no "x"/],
    [['agents', 'edit', UNKNOWN], /^Nothing is to be changed/],
    [['agents', 'list', '--limit', '0'], /^--limit takes a whole number from 1 to 100/],
    [['users', 'credits', OTHER_USER, '5'], /^It needs --reason <text>/],
    [['users', 'erase-runs', OTHER_USER, '--older-than', '-1'], /^(--older-than takes|Option '--older-than')/],
    [['users', 'set-retention', OTHER_USER, 'soon'], /^<days> takes a number from 0 to 36500/],
    [['users', 'set-retention', OTHER_USER], /^It needs <days>/],
    [['runs', 'list', '--status', 'gone'], /^--status takes one of queued, running/],
    [['keys', 'list', '--nonsense'], /^Unknown option '--nonsense': see/]
  ] as Array<[string[], RegExp]>) {
    const [name, ...rest] = args as [string, ...string[]]
    const refused: Error = await runSubject(name, SUBJECTS[name]!, rest).then(() => new Error('it was taken'), error => error)
    t.ok(refused instanceof UsageError, args.join(' '))
    t.match(refused.message, says)
    t.notMatch(refused.message, '\n', 'it is one line')
  }
  for (const args of [['nothing'], ['agents', 'create']]) {
    t.match(await run(t, 'cli.js', args), { code: 2, stdout: '', stderr: /^\S.+: see node dist\/cli\.js .*--help\n$/ })
  }
})

t.test('commands explain themselves', async t => {
  for (const subject of ['agents', 'keys', 'users', 'runs']) {
    const { code, stdout } = await run(t, 'cli.js', [subject, '--help'])
    t.match({ code, stdout }, { code: 0, stdout: new RegExp(`^node dist/cli\\.js ${subject} <command> \\[options\\]: `) })
  }
  const verbs = await Promise.all([['agents', 'create'], ['runs', 'tail'], ['users', 'erase-runs'], ['keys', 'create']].map(args => run(t, 'cli.js', [...args, '--help'])))
  for (const { code, stdout } of verbs) t.match({ code, stdout }, { code: 0, stdout: /^node dist.+\n( {2}--.+\n)* {2}--help +prints this\n$/ })
})

t.test('commands on the embedded database', async t => {
  const dataDir = await createDataDir(t)
  const cli: Cli = (...args) => run(t, 'cli.js', args, { DATA_DIR: dataDir })
  await t.test('make an agent of the demo user, whose id alone is printed', async t => {
    const made = await cli('agents', 'create', '--name', 'Mine')
    t.match(made, { code: 0, stdout: UUID_LINE, stderr: '' })
    t.match(JSON.parse((await cli('agents', 'show', made.stdout.trim(), '--json')).stdout), { name: 'Mine', userId: DEMO_USER, isPublished: false })
  })

  await t.test('go through the service that has it, also to its runs', async t => {
    const service = launch(t, 'server.js', [], { NODE_ENV: 'development', HOST: '127.0.0.1', PORT: '0', DATA_DIR: dataDir })
    const url = await urlOf(service.stdout!)
    await testCommands(t, cli, [])
    const tail = launch(t, 'cli.js', ['runs', 'tail', '--json'], { DATA_DIR: dataDir })
    await once(tail.stderr!, 'data')
    const lines = createInterface({ input: tail.stdout! })[Symbol.asyncIterator]()
    const response = await fetch(`${url}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': DEMO_KEY },
      body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hello' }], stream: false })
    })
    const { runId } = await response.json() as { runId: string }
    let told
    do told = JSON.parse((await lines.next()).value!); while (told.status !== 'succeeded')
    t.match(told, { runId, agentId: DEMO_AGENT, userId: DEMO_USER })
    const ended = once(tail, 'exit')
    tail.kill('SIGINT')
    t.same((await ended)[0], 0, 'Ctrl-C is its end')

    t.match(await cli('runs', 'tail', runId), { code: 0, stdout: /^\[started\].+\nYou said: "Hello".+\n\[done\].+\n$/s })
    t.match(await cli('runs', 'cancel', runId), { code: 0, stdout: 'the run had ended: succeeded\n' })
    t.match(await cli('agents', 'erase-runs', DEMO_AGENT, '--older-than', '1'), { stdout: 'erased the texts of 0 runs and 0 firings\n' })
    t.match(await cli('agents', 'erase-runs', DEMO_AGENT), { stdout: 'erased the texts of 1 runs and 0 firings\n' })
    t.match(JSON.parse((await cli('runs', 'show', runId, '--json')).stdout), { response: '', creditsCharged: 1, status: 'succeeded' })
    t.match(await cli('agents', 'set-retention', DEMO_AGENT, '0.5'), { code: 0, stdout: 'kept for 0.5 days after their end\n' })
    t.match(await cli('users', 'set-retention', OTHER_USER, '7'), { code: 0, stdout: 'kept for 7 days after their end\n' })
    t.match(JSON.parse((await cli('users', 'retention', '--limit', '1', '--json')).stdout), { periods: [{ userId: OTHER_USER, userEmail: 'other@jeesi.local', agentId: null, days: 7 }], nextCursor: Number })
    t.match(await cli('agents', 'retention'), { code: 0, stdout: new RegExp(`^of .+\\nuser +${OTHER_USER} +other@jeesi\\.local +7\\nagent +${DEMO_AGENT} .+ 0\\.5\\n$`) })
    t.match(await cli('users', 'set-retention', OTHER_USER, 'default'), { code: 0, stdout: 'kept as long as those of all\n' })
    t.match(await cli('users', 'set-retention', UNKNOWN, '1'), { code: 1, stderr: 'There is no such user.\n' })
    const exit = once(service, 'exit')
    service.kill('SIGTERM')
    await exit
  })

  await t.test('are recorded as the operator\'s', async t => {
    const pglite = await PGlite.create(join(dataDir, 'postgres'))
    t.teardown(() => pglite.close())
    const { rows } = await pglite.query<{ action: string, admin_id: string }>('select distinct action, admin_id from public.admin_actions')
    t.same([...new Set(rows.map(row => row.admin_id))], [OPERATOR])
    for (const action of ['agent_create', 'agent_edit', 'agent_delete', 'user_create', 'grant', 'erase_runs', 'set_retention', 'retention', 'watch_runs', 'cancel', 'run_events']) {
      t.ok(rows.some(row => row.action === action), action)
    }
    t.notMatch(JSON.stringify((await pglite.query('select details from public.admin_actions where action like \'agent_%\'')).rows), 'Be brief', 'without texts of agents')
  })

  await t.test('say who has it, if that is no service', async t => {
    const holder = await startService(t, { DATA_DIR: dataDir })
    t.match(await cli('agents', 'list'), { code: 1, stdout: '', stderr: /^The data directory .+ is in use by process \d+: stop that one/ })
    await holder.app.close()
  })
})

t.test('commands on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const cli: Cli = (...args) => run(t, 'cli.js', args, { SUPABASE_DB_URL: url, SUPABASE_JWT_SECRET: JWT_SECRET })
  await testCommands(t, cli, ['--user', DEMO_USER])
  t.match(await cli('keys', 'list'), { code: 2, stderr: /^Whose\? Name the user with --user <id>/ })
  const service = await startService(t, { SUPABASE_DB_URL: url })
  await service.execute()
  const { runs: [{ runId }] } = JSON.parse((await cli('runs', 'list', '--json')).stdout)
  t.match(await cli('runs', 'tail', runId), { code: 0, stdout: 'Hello world\n[succeeded] usage' })
  t.match(await cli('runs', 'tail', runId, '--service', service.url), { code: 0, stdout: /^\[started\].+\nHello world\n\[done\]/s })
  t.match(await cli('users', 'erase-runs', DEMO_USER), { code: 0, stdout: 'erased the texts of 1 runs and 0 firings\n' })
  const after = await service.request('GET', `/api/runs/${runId}`)
  t.match(after.body, { response: '', creditsCharged: 1 })
  t.equal((await service.credits()).creditsRemaining, 99, 'credits stay as they are')
  t.same((await service.app.database.call('audit_credits')).problems, [])
})

t.test('who is no admin erases nothing, and the operator\'s id is no way in for users', async t => {
  const { request } = await startService(t)
  const headers = await bearer(OTHER_USER)
  t.match(await request('POST', `/api/admin/users/${DEMO_USER}/erase-runs`, { body: { olderThanDays: 0 }, headers }), { status: 403 })
  t.match(await request('POST', `/api/admin/users/${DEMO_USER}/retention`, { body: { days: 0 }, headers }), { status: 403 })
  t.match(await request('GET', '/api/admin/retention', { headers }), { status: 403 })
  t.match(await request('POST', `/api/admin/agents/${DEMO_AGENT}/retention`, { body: { days: -1 } }), { status: 400 })
  t.match(await request('POST', `/api/admin/users/${UNKNOWN}/erase-runs`, { body: { olderThanDays: 0 } }), { status: 404, body: { code: 'user_not_found' } })
  t.match(await request('POST', `/api/admin/agents/${UNKNOWN}/erase-runs`, { body: { olderThanDays: 0 } }), { status: 404, body: { code: 'agent_not_found' } })
})

async function urlOf (stdout: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stdout })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (!url) continue
    stdout.resume()
    return url
  }
  throw new Error('the service did not start')
}
