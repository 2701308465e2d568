import { chmod, lstat, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { readJwtSecret } from '../../src/auth/access-token.js'
import { parseConfig } from '../../src/config/config.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { createDataDir, DEMO_USER, startService } from '../support/helper.js'

/** The names of what others than its owner may read or write in a folder, and the folder itself. */
async function findOpen (folder: string): Promise<string[]> {
  const names = ['.', ...await readdir(folder, { recursive: true })]
  const modes = await Promise.all(names.map(async name => ({ name, mode: (await lstat(join(folder, name))).mode & 0o777 })))
  return modes.filter(({ mode }) => mode & 0o077).map(({ name, mode }) => `${name} ${mode.toString(8)}`)
}

process.umask(0)
if (process.platform === 'win32') t.bailout('Windows has no such modes')

t.test('a new data directory is its owner\'s alone, with all that is written into it', async t => {
  const dataDir = join(t.testdir(), 'data')
  const service = await startService(t, { DATA_DIR: dataDir, SUPABASE_JWT_SECRET: '' })
  t.same(await findOpen(dataDir), [])
  await service.app.database.call('get_credits', { p_user_id: DEMO_USER })
  await service.app.close()
  t.same(await findOpen(dataDir), [])
})

t.test('what an earlier release has left open is closed at the start', async t => {
  const dataDir = await createDataDir(t)
  await writeFile(join(dataDir, 'jwt-secret'), 'x'.repeat(64))
  const names = ['.', ...await readdir(dataDir, { recursive: true })]
  for (const name of names) {
    const path = join(dataDir, name)
    await chmod(path, (await lstat(path)).isDirectory() ? 0o755 : 0o666)
  }
  t.equal((await findOpen(dataDir)).length, names.length)
  const database = await openEmbedded(dataDir)
  t.teardown(() => database.close())
  t.same(await findOpen(dataDir), [])
})

t.test('what is not the service\'s own is left as it is, and no link is followed', async t => {
  const dataDir = await createDataDir(t)
  const others = t.testdir({ 'other.txt': 'x' })
  await mkdir(join(dataDir, 'others'))
  await writeFile(join(dataDir, 'others', 'program'), 'x', { mode: 0o777 })
  await symlink(join(others, 'other.txt'), join(dataDir, 'postgres', 'link'))
  await (await openEmbedded(dataDir)).close()
  t.same((await findOpen(dataDir)).filter(name => !name.startsWith('postgres/link')), ['others 777', 'others/program 777'])
  t.same(await findOpen(others).then(open => open.filter(name => name.startsWith('other'))), ['other.txt 666'])
})

t.test('the JWT secret of a directory that has no database yet is its owner\'s alone too', async t => {
  const dataDir = join(t.testdir(), 'data')
  t.match(await readJwtSecret(parseConfig({ DATA_DIR: dataDir })), /^[0-9a-f]{64}$/)
  t.same(await findOpen(dataDir), [])
})

t.test('in production', async t => {
  const production = { NODE_ENV: 'production', EMBEDDED: 'true', SUPABASE_JWT_SECRET: '' }

  t.test('a new database has no user, no admin, no agent and no key', async t => {
    const dataDir = join(t.testdir(), 'data')
    const service = await startService(t, { ...production, DATA_DIR: dataDir, RAILWAY_BACKEND_SECRET: '' })
    t.equal((await fetch(`${service.url}/api/credits`, demoKey)).status, 401)
    await service.app.close()
    t.same(await countRows(t, dataDir, ['auth.users', 'public.agents', 'public.api_keys', 'public.user_roles', 'public.credit_balances']), [0, 0, 0, 0, 0])
  })

  t.test('the published key of a database that was made elsewhere, or by an earlier release, is off; other keys are not', async t => {
    const dataDir = await createDataDir(t)
    const before = await PGlite.create(join(dataDir, 'postgres'))
    await before.query("insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values ($1, 'own', encode(sha256('own-key'), 'hex'), 'own')", [DEMO_USER])
    await before.close()
    const service = await startService(t, { ...production, DATA_DIR: dataDir, RAILWAY_BACKEND_SECRET: '' })
    t.equal((await fetch(`${service.url}/api/credits`, demoKey)).status, 401)
    t.not((await fetch(`${service.url}/api/credits`, { headers: { 'x-api-key': 'own-key' } })).status, 401)
  })
})

const demoKey = { headers: { 'x-api-key': 'jeesi_demo_key_for_local_use_only' } }

async function countRows (t: Test, dataDir: string, tables: string[]): Promise<number[]> {
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  t.teardown(() => pglite.close())
  const counts = []
  for (const table of tables) counts.push((await pglite.query<{ count: number }>(`select count(*)::int as count from ${table}`)).rows[0]!.count)
  return counts
}
