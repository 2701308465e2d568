import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import t from 'tap'
import { createDataDir, createPostgres, findPostgres, OTHER_USER, startService } from '../support/helper.js'
import { run } from '../support/process.js'

const ADDS_UP = /^2 balances, \d+ ledger entries, \d+ runs: it all adds up\n$/

t.test('npm run audit on the embedded database', async t => {
  const dataDir = await createDataDir(t)
  const audit = (...args: string[]) => run(t, 'audit.js', args, { DATA_DIR: dataDir })

  t.test('says that all adds up after runs, and leaves a running service its directory', async t => {
    const service = await startService(t, { DATA_DIR: dataDir })
    await service.execute()
    t.match(await audit(), { code: 1, stdout: '', stderr: /is in use by process \d+.+\n$/ })
    await service.app.close()
    t.match(await audit(), { code: 0, stdout: /^2 balances, 3 ledger entries, 1 runs: it all adds up\n$/, stderr: '' })
  })

  t.test('lists what does not, as lines and as JSON, and ends with 1', async t => {
    const pglite = await PGlite.create(join(dataDir, 'postgres'))
    await pglite.exec(`update public.credit_balances set credits_remaining = credits_remaining + 7 where user_id = '${OTHER_USER}';
      delete from public.credit_changes where kind = 'change'; delete from public.credit_usage`)
    await pglite.close()
    const { code, stdout } = await audit()
    t.equal(code, 1)
    t.match(stdout, new RegExp(`^balance: user ${OTHER_USER} is 10, should be 3\\. .+$`, 'm'))
    t.match(stdout, /^charge: user .+ run .+ is 0, should be 1\. .+$/m)
    t.match(stdout, /: 3 do not add up\n$/)
    const json = await audit('--json')
    t.equal(json.code, 1)
    t.match(JSON.parse(json.stdout), { total: 3, problems: [{ kind: 'balance' }, { kind: 'balance' }, { kind: 'charge' }] })
  })

  t.test('enters what was right with a reason, and finds the rest again', async t => {
    t.match(await audit('--accept', 'Bought 7'), { code: 1, stderr: 'entered in the ledger: 2 adjustments\n', stdout: /^charge: .+\n.+: 1 does not add up\n$/ })
    t.match(await audit('--accept', ' '), { code: 1, stdout: '', stderr: 'An adjustment needs a reason.\n' })
  })
})

t.test('npm run audit by a URL', async t => {
  t.test('says in one line what is wrong, and ends with 1', async t => {
    for (const args of [['--url', 'postgres://nobody:secret@127.0.0.1:1/nothing'], ['--url', 'http://example.invalid/x'], ['--url', 'postgres://u:1#secret@host/x'], ['--url'], ['--uri', 'x'], ['x']]) {
      const { code, stdout, stderr } = await run(t, 'audit.js', args)
      t.match({ code, stdout, stderr }, { code: 1, stdout: '', stderr: /^\S.+\n$/ }, args.join(' '))
      t.notMatch(stderr, /secret/)
    }
  })

  t.test('looks at that database', async t => {
    if (!await findPostgres(t)) return
    const url = await createPostgres(t)
    t.match(await run(t, 'audit.js', ['--url', url]), { code: 0, stdout: ADDS_UP, stderr: '' })
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query('drop schema public cascade; create schema public')
    await client.end()
    t.match(await run(t, 'audit.js', ['--url', url]), { code: 1, stdout: '', stderr: /^the database lacks the migrations .+npm run migrate.+\n$/ })
  })
})
