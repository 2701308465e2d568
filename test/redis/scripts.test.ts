import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { buildPrograms } from '../support/build.js'

const SOURCE = fileURLToPath(new URL('../../src/', import.meta.url))

t.test('every Lua script is copied beside the programs', async t => {
  const scripts = (await readdir(SOURCE, { recursive: true })).filter(path => path.endsWith('.lua'))
  t.ok(scripts.length > 0)
  const dist = await buildPrograms()
  for (const path of scripts) {
    t.equal(await readFile(join(dist, basename(path)), 'utf8'), await readFile(join(SOURCE, path), 'utf8'), path)
  }
})
