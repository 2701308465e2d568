import { existsSync } from 'node:fs'

/** The project's folder: the nearest one above this file that has a package.json, from `src` as from `dist`. */
export const ROOT = findRoot(new URL('./', import.meta.url))

function findRoot (folder: URL): URL {
  if (existsSync(new URL('package.json', folder))) return folder
  const parent = new URL('../', folder)
  if (parent.href === folder.href) throw new Error('The program lies outside of its project: no package.json is above it.')
  return findRoot(parent)
}
