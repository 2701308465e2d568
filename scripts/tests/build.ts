import { copyFile, readdir, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'
import { BUILT, ROOT } from './places.js'

/** What a program starts beside itself, as a file of its own. */
const THREADS = { 'schema-worker': 'src/executor/tools/arguments/schema-worker.ts' }
/** Packages that look for files beside their code, and what is optional and not installed. */
const APART = ['@electric-sql/pglite', 'bullmq', 'ioredis', 'pg-native', 'fsevents', '@swc/core', '@swc/wasm']
/** The runner's own part of each test, which finds by its map what of a stack is its own. */
const RUNNER = /\/node_modules\/@?tap/
/** Files that sources read beside their code. */
const COPIED = /\.lua$/
/** For packages that are CommonJS, and what of Node they ask for. */
const REQUIRE = "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);"
/** How a source imports another that the compiler is not to see. */
const BY_URL = /\bimport\(new URL\(('[^']+\.ts'), import\.meta\.url\)\.href\)/g
/** A source map that says nothing, at the end of packages: nobody steps through them, and maps take time to read. */
const NO_MAP = `\n//# sourceMappingURL=data:application/json;base64,${btoa('{"version":3,"sources":[""],"mappings":"A"}')}`

/**
 * Makes the tests, of seven hundred files that Node would have to find and tsx to translate for each of them, into some
 * which they share. See `run.js`.
 */
async function buildTests (): Promise<void> {
  const tests = (await readdir(join(ROOT, 'test'), { recursive: true })).filter(name => name.endsWith('.test.ts')).map(name => join('test', name))
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: { ...THREADS, ...Object.fromEntries(tests.map(name => [name.replace(/\.ts$/, ''), name])) },
    outdir: BUILT,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: [...APART, ...Object.keys(devDependencies).filter(name => name !== 'tap')],
    banner: { js: REQUIRE },
    define: { 'import.meta.url': 'OWN_URL', 'import.meta.filename': 'OWN_FILE', 'import.meta.dirname': 'OWN_FOLDER' },
    plugins: [places],
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning'
  })
  const copied = (await readdir(join(ROOT, 'src'), { recursive: true })).filter(name => COPIED.test(name))
  for (const name of copied) await copyFile(join(ROOT, 'src', name), join(BUILT, basename(name)))
  // Only what is out of date: tests that are under way go on with the rest.
  const made = new Set([...Object.keys(metafile.outputs).map(path => join(ROOT, path)), ...copied.map(name => join(BUILT, basename(name)))])
  const present = (await readdir(BUILT, { recursive: true, withFileTypes: true })).filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  for (const path of present.filter(path => !made.has(path))) await rm(path)
}

/**
 * Tells each file where it is: a test, a package and what helps a test read and start what is beside their own files, and
 * the service what is beside its build, as it does in `dist`.
 */
const places: Plugin = {
  name: 'places',
  setup ({ onLoad }) {
    onLoad({ filter: /\.[cm]?[jt]s$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      const isPackage = path.includes('/node_modules/')
      const end = isPackage && !RUNNER.test(path) ? NO_MAP : ''
      if (!source.includes('import.meta') && !end) return undefined
      const place = path.startsWith(join(ROOT, 'src/')) ? join(BUILT, basename(path).replace(/\.ts$/, '.js')) : path
      const [url, file, folder] = [pathToFileURL(place).href, place, dirname(place)].map(text => JSON.stringify(text))
      // On the first line: the others keep their numbers.
      const own = source.includes('import.meta') ? `const OWN_URL = ${url}, OWN_FILE = ${file}, OWN_FOLDER = ${folder}; ` : ''
      return { contents: own + source.replaceAll(BY_URL, 'import($1)') + end, loader: path.endsWith('ts') ? 'ts' : 'js' }
    })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildTests()
