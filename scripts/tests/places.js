import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's folder. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Where `build.ts` puts the tests, and `run.js` finds them. */
export const BUILT = join(ROOT, '.tests')
