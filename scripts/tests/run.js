import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import t from 'tap'
import { SHORT_LIVED } from './options.js'
import { BUILT, ROOT } from './places.js'

/** Processes at a time, on two processors: each also waits for its database, the network and what it has started. */
const JOBS = 4
/** Seconds for a file, in its short form and in its long one. */
const TIMEOUT = { short: 300, long: 1200 }
/** These take longest, longest first: what they take is not to be waited for when all others are done. */
const FIRST = ['siege/siege', 'chaos/chaos', 'cli/administer', 'faces/mcp-replicas', 'browser/console', 'process/server', 'database/batches', 'process/concurrency', 'process/handover']

/**
 * Executes the tests as `build.ts` has made them, each file in a process of its own, and writes what they say as TAP.
 * They are started by `env`, which takes the loader away that tap would slip in: it records what a test loads, and takes
 * as long as many a test.
 */
async function runTests () {
  const { values: { all }, positionals } = parseArgs({ options: { all: { type: 'boolean', default: false } }, allowPositionals: true })
  const timeout = all ? TIMEOUT.long : TIMEOUT.short
  const env = { ...process.env, TAP_TIMEOUT: String(timeout), ...(all ? { TEST_ALL: '1' } : {}) }
  const files = positionals.length > 0 ? positionals : await listTests()
  t.jobs = JOBS
  t.setTimeout(0)
  t.plan(files.length)
  for (const name of files) {
    const args = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', ...SHORT_LIVED, join(BUILT, name.replace(/\.ts$/, '.js'))]
    t.spawn('env', args, { name, cwd: ROOT, env, buffered: true, timeout: timeout * 1000 })
  }
}

async function listTests () {
  const names = (await readdir(join(ROOT, 'test'), { recursive: true })).filter(name => name.endsWith('.test.ts')).sort()
  const first = FIRST.map(name => `${name}.test.ts`)
  return [...first, ...names.filter(name => !first.includes(name))].map(name => `test/${name}`)
}

await runTests()
