import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { mayImport, roomOf, ROOMS } from './rooms.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SHARED = 'supabase/functions/_shared'

/**
 * What the files of a room must not import, as patterns of `no-restricted-imports`, for each of its folders.
 * @param {{ path: string, may: string[], fastify?: true }} room
 * @returns {Array<{ files: string[], patterns: Array<{ regex: string, message: string }>, fastify: boolean }>}
 */
export function forbiddenImports (room) {
  const isFile = room.path.endsWith('.ts')
  const folders = isFile ? [dirname(room.path)] : foldersBelow(room.path)
  const forbidden = ROOMS.filter(({ path }) => path !== room.path && !mayImport(room, path))
  return folders.map(folder => ({
    files: [isFile ? room.path : `${folder}/*.ts`],
    patterns: forbidden.map(({ path }) => ({
      regex: patternOf(folder, path),
      message: `${room.path} may not import from ${path}: see scripts/house/rooms.js.`
    })),
    fastify: room.fastify === true
  }))
}

/**
 * A room's folders but for those that are rooms of their own.
 * @param {string} path
 * @returns {string[]}
 */
function foldersBelow (path) {
  if (!existsSync(join(ROOT, path))) return []
  const below = readdirSync(join(ROOT, path)).map(name => `${path}/${name}`).filter(child => statSync(join(ROOT, child)).isDirectory())
  return [path, ...below.filter(child => roomOf(child)?.path === roomOf(path)?.path).flatMap(foldersBelow)]
}

/**
 * Specifiers by which files of a folder import from a room.
 * @param {string} folder
 * @param {string} path
 */
function patternOf (folder, path) {
  const specifier = path === SHARED ? '#shared' : relative(folder, path).replace(/\.ts$/, '')
  const prefix = specifier.startsWith('.') || specifier.startsWith('#') ? specifier : `./${specifier}`
  return `^${prefix.replaceAll('.', '\\.')}(/|\\.js$|$)`
}
