import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { type Fence, readDocument } from '../docs/markdown.js'
import { startService } from '../support/helper.js'
import { NEWEST } from './mcp-client.js'

const { fences } = readDocument('docs/how-to/use-mcp.md')
const ofLanguage = (language: string) => fences.filter(fence => fence.language === language && fence.words.includes('no-test'))

/** Where a configuration says the server is, and what it sends there. */
function readConfiguration ({ text }: Fence): { url: string, headers: Record<string, string> } {
  const { mcpServers, servers = mcpServers } = JSON.parse(text)
  const { url, headers, args, env } = servers.jeesi
  if (url) return { url, headers }
  // mcp-remote takes the address, and headers without blanks, in which it fills the environment in.
  const [, , address, flag, header] = args
  if (flag !== '--header') throw new Error(`${flag} is no flag of mcp-remote`)
  return { url: address, headers: readHeader(header.replace(/\$\{(\w+)\}/, (_: string, name: string) => env[name])) }
}

function readHeader (header: string): Record<string, string> {
  const [, name, value] = /^([\w-]+): ?(\S.*)$/.exec(header)!
  return { [name!]: value! }
}

t.test('the configurations of use-mcp.md', async t => {
  const service = await startService(t)
  const listed = async ({ url, headers }: { url: string, headers: Record<string, string> }) => {
    const address = url.replace('http://localhost:3000', service.url)
    t.equal(new URL(address).pathname, '/mcp')
    return (await NEWEST.connect(t, address, { headers })).list()
  }

  const configurations = ofLanguage('json')
  t.equal(configurations.length, 4)
  for (const fence of configurations) {
    t.test(`that of line ${fence.line} reaches the service`, async t => t.match(await listed(readConfiguration(fence)), [{ name: String }]))
  }

  t.test('the command of Claude Code reaches the service', async t => {
    const [{ text }] = ofLanguage('sh') as [Fence]
    const [, url, header] = /^claude mcp add --transport http jeesi (\S+) --header "([^"]+)"$/m.exec(text)!
    t.match(await listed({ url: url!, headers: readHeader(header!) }), [{ name: String }])
  })

  t.test('the program prints the answer', async t => {
    const [{ text }] = ofLanguage('js') as [Fence]
    // Within the project, so that it finds the package.
    const folder = await mkdtemp(fileURLToPath(new URL('../../node_modules/.cache-how-to-', import.meta.url)))
    t.teardown(() => rm(folder, { recursive: true, force: true }))
    const program = join(folder, 'program.mjs')
    await writeFile(program, text.replaceAll('http://localhost:3000', service.url))
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program], { timeout: 120_000 })
    t.equal(stdout, 'Hello world\n')
    t.match(stderr, /^Started$/m)
  })
})
