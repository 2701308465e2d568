import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { fetchForTest } from './fetch.js'

/** `npm run knip`: finds files, exports and dependencies that nobody uses. Its arguments are those of knip. */
const path = await fetchForTest({ comment: line => console.error(line) }, 'knip')
// knip reads the arguments of this process, and sets its exit code.
if (path !== undefined) await import(pathToFileURL(join(path, 'node_modules/knip/bin/knip.js')).href)
