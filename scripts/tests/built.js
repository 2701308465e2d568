import { register } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { isMainThread } from 'node:worker_threads'

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Where `build.ts` puts the tests. */
export const BUILT = join(ROOT, '.tests')

// `node --import=./scripts/tests/built.js test/some.test.ts` executes that test as it was built.
if (isMainThread) register(import.meta.url)

/**
 * A hook of Node's loader, in a thread of its own.
 * @param {string} specifier
 * @param {{ parentURL?: string }} context
 * @param {(specifier: string, context: object) => Promise<{ url: string }>} next
 */
export async function resolve (specifier, context, next) {
  const isTest = context.parentURL === undefined && specifier.endsWith('.test.ts')
  if (!isTest) return next(specifier, context)
  const path = fileURLToPath(specifier)
  return { url: pathToFileURL(join(BUILT, path.slice(ROOT.length).replace(/\.ts$/, '.js'))).href, format: 'module', shortCircuit: true }
}
