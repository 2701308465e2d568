import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { bundle, bundleChanged } from '../../bundle.js'
import { createDataDir, JWT_SECRET } from '../support/helper.js'
import { launch } from '../support/process.js'

t.test('a build has every program, with a map to its sources, and nothing of an earlier one', async t => {
  const directory = t.testdir({ 'server.js': 'old', 'chunk-OLD.js': '', cli: { 'demo.js': '' } })
  await bundle(directory)
  const names = await readdir(directory)
  for (const name of ['server.js', 'worker.js', 'audit.js', 'cli.js', 'demo.js', 'migrate.js', 'token.js']) {
    t.ok(names.includes(name) && names.includes(`${name}.map`), name)
  }
  t.same(names.filter(name => name === 'chunk-OLD.js' || name === 'cli'), [])
})

t.test('a build is made again if its sources have changed, or what it has made, and not otherwise', async t => {
  const directory = t.testdir()
  await bundleChanged(directory)
  const [program, stamp] = [join(directory, 'token.js'), join(directory, 'built.json')]
  const { mtimeMs } = await stat(program)
  await bundleChanged(directory)
  t.equal((await stat(program)).mtimeMs, mtimeMs, 'the same sources')

  const text = await readFile(stamp, 'utf8')
  await writeFile(stamp, text.replace(/"hash":"./, '"hash":"x'))
  await bundleChanged(directory)
  t.equal(await readFile(stamp, 'utf8'), text, 'other sources')

  await rm(program)
  await bundleChanged(directory)
  t.ok((await stat(program)).size > 0, 'a program that is missing')
})

t.test('a build serves what it reads from packages and from beside itself: documents, their page, the widget', async t => {
  const child = launch(t, 'server.js', [], { PORT: '0', HOST: '127.0.0.1', NODE_ENV: 'test', DATA_DIR: await createDataDir(t), SUPABASE_JWT_SECRET: JWT_SECRET })
  child.stderr!.resume()
  let url: string | undefined
  for await (const line of createInterface({ input: child.stdout! })) if ((url = /"message":"listening at ([^"]+)"/.exec(line)?.[1])) break
  child.stdout!.resume()
  const read = async (path: string) => (await fetch(url + path)).text()
  t.match(JSON.parse(await read('/docs/json')), { openapi: '3.1.0', paths: { '/api/agent/execute': {} }, components: { schemas: { Run: {} } } })
  t.match(JSON.parse(await read('/docs/asyncapi.json')), { asyncapi: '3.0.0' })
  t.match(await read('/docs/swagger-ui.js'), /SwaggerUIBundle/)
  t.match(await read('/docs/swagger-ui.css'), /\.swagger-ui/)
  t.match(await read('/widget.js'), /JeesiWidget/)
})
