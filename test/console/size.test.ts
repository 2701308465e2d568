import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { pathOf } from '../support/process.js'

/** Bytes of all files of the console, compressed. */
const MOST = 150 * 1024
/** Of those that a page needs before it shows anything. */
const MOST_AT_FIRST = 60 * 1024

t.test('the console\'s files are small, and what signs in beside a project is loaded only there', async t => {
  const directory = dirname(pathOf('server.js'))
  const names = (await readdir(directory)).filter(name => /^console.*\.(js|css)$/.test(name))
  const sizes = new Map(await Promise.all(names.map(async name => [name, gzipSync(await readFile(join(directory, name))).length] as const)))
  const sum = (some: string[]) => some.reduce((sum, name) => sum + sizes.get(name)!, 0)
  t.ok(sum(names) > 0 && sum(names) < MOST, `${sum(names)} bytes`)
  const script = await readFile(join(directory, 'console.js'), 'utf8')
  const imported = [...script.matchAll(/(?:from|import)\s*"\.\/(console-[\w-]+\.js)"/g)].map(([, name]) => name!)
  const first = ['console.js', 'console.css', ...imported]
  t.ok(sum(first) < MOST_AT_FIRST, `${sum(first)} bytes before anything is shown`)
  t.notOk(first.some(name => name.includes('supabase')), first.join(', '))
  t.notMatch(script, /\beval\(|new Function\(/, 'nothing that a strict policy forbids')
})
