import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { fetchForTest, PACKAGES } from './packages/fetch.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const EXACT = /^\d+\.\d+\.\d+$/

const FOLDERS = ['.', ...PACKAGES.map(name => `test/packages/${name}`), 'bench/subjects']

t.test('every package of every lock has the hash of what is to be installed', async t => {
  for (const folder of FOLDERS) {
    const { packages } = await readJson(join(ROOT, folder, 'package-lock.json'))
    const { '': root, ...installed } = packages
    t.same(Object.keys(installed).filter(path => !/^sha512-/.test(installed[path].integrity)), [], folder)
  }
})

t.test('every version is exact, and the one of the lock', async t => {
  for (const folder of FOLDERS) {
    const { dependencies, devDependencies } = await readJson(join(ROOT, folder, 'package.json'))
    const { packages } = await readJson(join(ROOT, folder, 'package-lock.json'))
    for (const [name, wanted] of Object.entries<string>({ ...dependencies, ...devDependencies })) {
      // Two versions of one package stand under names of their own.
      const version = wanted.replace(/^npm:@?[^@]+@/, '')
      t.match(version, EXACT, `${folder}: ${name}`)
      t.equal(packages[`node_modules/${name}`].version, version)
    }
  }
})

t.test('a package that cannot be fetched', async t => {
  const cache = t.testdir()
  setVariables(t, { npm_config_registry: 'http://127.0.0.1:1/', npm_config_cache: join(cache, 'npm') })

  t.test('is left out, and the test says so', async t => {
    setVariables(t, { REQUIRE_SERVICES: undefined })
    const comments: string[] = []
    t.equal(await fetchForTest({ comment: line => { comments.push(line) } }, 'deno', cache), undefined)
    t.match(comments, [/^LEFT OUT: the package deno could not be fetched: .*127\.0\.0\.1:1/])
    t.equal(comments.length, 1)
  })

  t.test('is a failure where every service has to be there', async t => {
    setVariables(t, { REQUIRE_SERVICES: '1' })
    await t.rejects(fetchForTest(t, 'deno', cache), { message: /^the package deno could not be fetched/ })
  })
})

function setVariables (t: Test, variables: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name]
    const set = (text: string | undefined) => { if (text === undefined) delete process.env[name]; else process.env[name] = text }
    set(value)
    t.teardown(() => set(before))
  }
}

async function readJson (path: string): Promise<any> {
  return JSON.parse(await readFile(path, 'utf8'))
}
