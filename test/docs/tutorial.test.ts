import { execFile } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createDataDir } from '../support/helper.js'
import { launch } from '../support/process.js'
import { findPython } from '../support/python.js'
import { readDocument, readProjectFile } from './markdown.js'
import { createFolder } from './python-modules.js'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const { fences } = readDocument('docs/tutorial.md')
const scripts = fences.filter(({ language, words }) => language === 'sh' && words[0] === 'tutorial')

t.test('the tutorial shows the modules of Python that are there', async t => {
  for (const { words: [word = ''], text } of fences.filter(({ language }) => language === 'python')) {
    const [, module = ''] = /=([\w.]+):/.exec(word) ?? []
    t.equal(text.trimEnd(), readProjectFile(`python/${module.replaceAll('.', '/')}.py`).trimEnd(), module)
  }
})

t.test('the tutorial makes an agent with a tool and one in Python, beside a running service, and talks to both', async t => {
  const python = await findPython(t)
  if (!python) return
  const dataDir = await createDataDir(t)
  const url = await startServer(t, { DATA_DIR: dataDir, PYTHON_BIN: python, PORT: '0' })
  const folder = await createFolder(t)
  const execute = async (text: string) => (await run('sh', ['-euc', text.replaceAll('http://localhost:3000', url).replaceAll('/tmp/', `${folder}/`)], {
    cwd: ROOT, timeout: 240_000, env: { PATH: process.env.PATH, HOME: folder, DATA_DIR: dataDir }
  })).stdout
  const [tool, written] = scripts
  t.equal(scripts.length, 2)

  const asked = await execute(tool!.text)
  t.match(asked, /"type":"tool_call".+"count_words"/)
  t.match(asked, /"type":"tool_result".+words.+5/)
  t.match(asked, /"type":"done"/)

  const listed = await execute(written!.text)
  for (const item of ['1. milk', '2. bread', '3. apples']) t.match(listed, item)
  t.match(listed, /"type":"progress"/)
  t.match(listed, /"type":"done"/)
})

/** Starts the service as the tutorial does, and resolves to its URL. */
async function startServer (t: Test, variables: Record<string, string>): Promise<string> {
  const service = launch(t, 'server.js', [], { NODE_ENV: 'development', HOST: '127.0.0.1', ...variables })
  service.stderr!.pipe(process.stderr)
  for await (const line of createInterface({ input: service.stdout! })) {
    const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
    if (!url) continue
    service.stdout!.resume()
    return url
  }
  throw new Error('the service did not start')
}
