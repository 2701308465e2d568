import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../../bundle.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CACHE = join(ROOT, 'node_modules/.cache/jeesi-test')
const SOURCES = ['src', 'supabase/functions/_shared']
/** What a build is made of beside its sources; the last one has the bundler's version, and the packages'. */
const INGREDIENTS = ['tsconfig.json', 'bundle.ts', 'package-lock.json']
/** What the programs read beside the directory they are in; linked, and so never out of date. */
const BESIDE = ['package.json', 'supabase', 'python']

/**
 * Makes the programs as `npm run build` does, which are what is deployed and start in a fifth of the time the sources
 * take, and once for all tests: the build is called by the hash of what it was made of, and so is of these sources and no others.
 * @returns the directory of the programs.
 * @throws what the bundler says about sources it cannot read. Types are not its matter, but of `npm run check`.
 */
export async function buildPrograms (): Promise<string> {
  for (;;) {
    const hash = await hashSources()
    const path = join(CACHE, hash)
    const dist = join(path, 'dist')
    if (await exists(dist)) return dist
    await mkdir(CACHE, { recursive: true })
    const unfinished = await mkdtemp(`${path}-`)
    try {
      await bundle(join(unfinished, 'dist'))
      for (const name of BESIDE) await symlink(join(ROOT, name), join(unfinished, name))
      // Where a file was saved meanwhile, nobody knows which of the two was bundled.
      if (await hashSources() !== hash) continue
      // Another test may have been faster; its build is as good.
      await rename(unfinished, path).catch(async error => { if (!await exists(dist)) throw error })
      return dist
    } finally {
      await rm(unfinished, { recursive: true, force: true })
    }
  }
}

async function hashSources (): Promise<string> {
  const entries = await Promise.all(SOURCES.map(name => readdir(join(ROOT, name), { recursive: true, withFileTypes: true })))
  const sources = entries.flat().filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)).sort()
  // The links lead to this copy of the project.
  const hash = createHash('sha256').update(ROOT)
  for (const path of [...INGREDIENTS.map(name => join(ROOT, name)), ...sources]) {
    const content = await readFile(path)
    hash.update(`\0${path}\0${content.length}\0`).update(content)
  }
  return hash.digest('hex').slice(0, 16)
}

function exists (path: string): Promise<boolean> {
  return access(path).then(() => true, () => false)
}
