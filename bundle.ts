import { copyFile, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('./', import.meta.url))
/** What a user or an operator starts. */
const PROGRAMS = ['process/server', 'process/worker', 'cli/audit', 'cli/demo', 'cli/migrate', 'cli/token']
/** What a program starts beside itself. */
const THREADS = ['executor/tools/arguments/schema-worker']
/** What looks for files beside its code, and what is optional and not installed. */
const APART = ['@electric-sql/pglite', 'bullmq', 'ioredis', 'pg-native']
/** Files that the programs read beside their code. */
const COPIED = /\.lua$/
/** For packages that are CommonJS, and what of Node they ask for. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

/**
 * Makes the programs: a file each, and beside it what several share and what is loaded when it is needed. They are made
 * of seven hundred files, each of which Node would have to find.
 * @param directory has nothing else afterwards. All files are in it and not below: what is asked for by a path of
 * its own lies as far from them as from `src`.
 */
export async function bundle (directory: string): Promise<void> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [...PROGRAMS, ...THREADS].map(name => `src/${name}.ts`),
    entryNames: '[name]',
    outdir: directory,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: APART,
    banner: { js: REQUIRE },
    // For `node --enable-source-maps`.
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning'
  })
  const copied = (await readdir(join(ROOT, 'src'), { recursive: true })).filter(path => COPIED.test(path))
  for (const path of copied) await copyFile(join(ROOT, 'src', path), join(directory, basename(path)))
  const made = new Set([...Object.keys(metafile.outputs), ...copied].map(path => basename(path)))
  for (const name of await readdir(directory)) {
    if (!made.has(name)) await rm(join(directory, name), { recursive: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle(join(ROOT, 'dist'))
