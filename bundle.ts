import { createHash } from 'node:crypto'
import { copyFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('./', import.meta.url))
/** What a user or an operator starts. */
const PROGRAMS = ['process/server', 'process/worker', 'cli/audit', 'cli/cli', 'cli/demo', 'cli/migrate', 'cli/token']
/** What a program starts beside itself. */
const THREADS = ['executor/tools/arguments/schema-worker']
/** What looks for files beside its code, and what is optional and not installed. */
const APART = ['@electric-sql/pglite', 'bullmq', 'ioredis', 'pg-native']
/** Files that the programs read beside their code. */
const COPIED = /\.lua$/
/** Files of the client in which its types are declared; the others are inside of it. */
const DECLARED = ['client', 'client-types', 'errors', 'run-text']
/** What a build is made of. */
const SOURCES = ['src', 'supabase/functions/_shared', 'bundle.ts', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
/** The file of a build that says of what it was made. */
const STAMP = 'built.json'
/** For packages that are CommonJS, and what of Node they ask for. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

/**
 * Makes the programs: a file each, and beside it what several share and what is loaded when it is needed. They are made
 * of seven hundred files, each of which Node would have to find.
 * @param directory has nothing else afterwards. All files are in it and not below: what is asked for by a path of
 * its own lies as far from them as from `src`.
 */
export async function bundle (directory: string): Promise<void> {
  // Before anything is read: what changes meanwhile makes another hash.
  const hash = await hashSources()
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
  const client = [...await bundleClient(directory), ...await bundleWidget(directory), ...await bundleConsole(directory)]
  const copied = (await readdir(join(ROOT, 'src'), { recursive: true })).filter(path => COPIED.test(path))
  for (const path of copied) await copyFile(join(ROOT, 'src', path), join(directory, basename(path)))
  const made = new Set([...Object.keys(metafile.outputs), ...client, ...copied].map(path => basename(path)))
  for (const name of await readdir(directory)) {
    if (!made.has(name)) await rm(join(directory, name), { recursive: true })
  }
  await writeFile(join(directory, STAMP), JSON.stringify({ hash, sizes: await sizesOf(directory, [...made]) }))
}

/** Makes the programs unless they are those of the very sources that there are. Says what it does on standard output. */
export async function bundleChanged (directory: string): Promise<void> {
  if (await isCurrent(directory)) {
    process.stdout.write('The build is that of these sources.\n')
    return
  }
  process.stdout.write('Building … ')
  const begun = performance.now()
  await bundle(directory)
  process.stdout.write(`done in ${((performance.now() - begun) / 1000).toFixed(1)} s.\n`)
}

async function isCurrent (directory: string): Promise<boolean> {
  try {
    const { hash, sizes } = JSON.parse(await readFile(join(directory, STAMP), 'utf8')) as { hash: string, sizes: Record<string, number> }
    const present = await sizesOf(directory, Object.keys(sizes))
    return hash === await hashSources() && Object.entries(sizes).every(([name, size]) => present[name] === size)
  } catch {
    return false
  }
}

async function sizesOf (directory: string, names: string[]): Promise<Record<string, number>> {
  return Object.fromEntries(await Promise.all(names.map(async name => [name, (await stat(join(directory, name))).size])))
}

/** The hash of all that a build is made of, names and contents. The lock file stands for the packages. */
async function hashSources (): Promise<string> {
  const hash = createHash('sha256')
  for (const source of SOURCES) {
    const isFolder = (await stat(join(ROOT, source))).isDirectory()
    const files = isFolder ? (await readdir(join(ROOT, source), { recursive: true, withFileTypes: true })).filter(entry => entry.isFile()).map(entry => join(entry.parentPath ?? entry.path, entry.name)) : [join(ROOT, source)]
    for (const path of files.sort()) hash.update(`${path.slice(ROOT.length)}\0`).update(await readFile(path)).update('\0')
  }
  return hash.digest('hex')
}

/** Makes the client for browsers, Node and Deno, with its types. Returns the names of the files. */
async function bundleClient (directory: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/client/client.ts'],
    outdir: directory,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    metafile: true,
    logLevel: 'warning'
  })
  // Only here: it takes half a second to load.
  const { default: ts } = await import('typescript')
  const types = DECLARED.map(name => `${name}.d.ts`)
  for (const name of DECLARED) {
    const source = await readFile(join(ROOT, `src/client/${name}.ts`), 'utf8')
    await writeFile(join(directory, `${name}.d.ts`), ts.transpileDeclaration(source, { compilerOptions: { target: ts.ScriptTarget.ES2022 } }).outputText)
  }
  return [...Object.keys(metafile.outputs), ...types]
}

/** Makes the script of the widget, which pages load from the service. Returns the names of the files. */
async function bundleWidget (directory: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/widget/widget.ts'],
    outdir: directory,
    bundle: true,
    minify: true,
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    logLevel: 'warning'
  })
  return Object.keys(metafile.outputs)
}

/** Makes the console's script and style; what signs in beside a project is a file of its own. Returns the names of the files. */
async function bundleConsole (directory: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/console/console.ts', 'src/console/console.css'],
    outdir: directory,
    chunkNames: 'console-[name]-[hash]',
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    logLevel: 'warning'
  })
  return Object.keys(metafile.outputs)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await (process.argv.includes('--changed') ? bundleChanged : bundle)(join(ROOT, 'dist'))
