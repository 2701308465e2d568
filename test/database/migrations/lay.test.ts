import { chmod, copyFile, mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { listMigrations, migrate, type SqlRunner } from '../../../src/database/migrations.js'
import { layMigrations } from '../../../src/database/migrations/lay.js'
import { createEmptyPGlite } from '../../support/helper.js'
import { pasteAs020, RELEASE_020 } from '../../support/release-020.js'

const OURS = fileURLToPath(new URL('../../../supabase/migrations', import.meta.url))
const NOW = new Date('2027-02-28T23:59:59Z')
const FILES = await listMigrations()
/** The name that a file of ours has in another folder. */
const named = (file: string) => file.replace(/^\d+/, 'jeesi')

t.test('the migrations are laid in their order, later than the newest that is there', async t => {
  const laidBeside = async (newest = '') => {
    const theirs = newest === '' ? {} : { [`${newest}_newest.sql`]: 'select 1;' }
    const folder = t.testdir({ migrations: { ...theirs, 'README.md': '' } })
    const { written, known } = await layMigrations(join(folder, 'migrations'), NOW)
    t.same(written.map(name => name.replace(/^\d+_/, '')), FILES.map(named), newest)
    t.equal(known, 0)
    const all = (await readdir(join(folder, 'migrations'))).filter(name => name.endsWith('.sql')).sort()
    t.same(all, [...Object.keys(theirs), ...written], newest)
    return written.slice(0, 2).map(name => name.split('_')[0])
  }
  t.same(await laidBeside(), ['20270228235959', '20270301000000'], 'in an empty folder')
  t.same(await laidBeside('20260101000000'), ['20270228235959', '20270301000000'], 'as of now')
  t.same(await laidBeside('20270228235959'), ['20270301000000', '20270301000001'], 'not at the same second')
  t.same(await laidBeside('20291231235959'), ['20300101000000', '20300101000001'], 'after one of the future')
  t.same(await laidBeside('0042'), ['20270228235959', '20270301000000'], 'after one that is numbered')
  t.same(await laidBeside('20299999999999'), ['20300000000000', '20300000000001'], 'after one that is no time')
  t.same(await laidBeside('20270228'), ['20270229', '20270230'], 'after one of that day without a time, whose name comes later')
})

t.test('what is there is left out: what was laid before, copies, and copies by another name', async t => {
  const folder = t.testdir({ migrations: {} })
  const migrations = join(folder, 'migrations')
  await copyFile(join(OURS, FILES[0]!), join(migrations, FILES[0]!))
  await copyFile(join(OURS, FILES[1]!), join(migrations, '20261130000000_mended.sql'))
  t.match(await layMigrations(migrations, NOW), { written: { length: FILES.length - 2 }, known: 2 })
  const before = await readdir(migrations)
  t.same(await layMigrations(migrations), { written: [], known: FILES.length })
  t.same(await readdir(migrations), before)
})

t.test('the files apply in their order, note what they did, and do nothing where it is done', async t => {
  const folder = t.testdir({ migrations: {} })
  const { written } = await layMigrations(join(folder, 'migrations'))
  const texts = await Promise.all(written.map(name => readFile(join(folder, 'migrations', name), 'utf8')))
  for (const before of [[], RELEASE_020]) {
    const sql = await open()
    await pasteAs020(sql, before)
    for (const text of texts) await sql.run(text)
    t.same(await migrate(sql), [])
    const notes = await sql.query('select * from jeesi.migrations order by 1', [])
    for (const text of texts) await sql.run(text)
    t.same(await sql.query('select * from jeesi.migrations order by 1', []), notes)
  }

  async function open (): Promise<SqlRunner> {
    const pglite = await createEmptyPGlite(t)
    return {
      async run (sql) { await pglite.exec(sql) },
      async query (sql, values) { return (await pglite.query<Record<string, unknown>>(sql, values)).rows }
    }
  }
})

t.test('a folder that is none of the platform\'s migrations is refused in a sentence', async t => {
  const folder = t.testdir({ project: { 'README.md': '' }, migrations: {}, file: '' })
  await t.rejects(layMigrations(join(folder, 'nothing')), { message: `${join(folder, 'nothing')} is not there` })
  await t.rejects(layMigrations(join(folder, 'file')), { message: `${join(folder, 'file')} is no folder` })
  await t.rejects(layMigrations(join(folder, 'project')), { message: `${join(folder, 'project')} is no folder of migrations: --into takes the platform's supabase/migrations` })
  await t.rejects(layMigrations(OURS), { message: `${OURS} is this service's own: --into takes the platform's supabase/migrations` })
  if (process.getuid?.() === 0) return
  await mkdir(join(folder, 'closed/migrations'), { recursive: true })
  await chmod(join(folder, 'closed/migrations'), 0o500)
  await t.rejects(layMigrations(join(folder, 'closed/migrations')), / may not be read or written by this user$/)
})
