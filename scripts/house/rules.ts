import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { listSources, readImports, ROOT, type Imports } from './imports.js'
import { checkPlugins } from './plugins.js'
import { FASTIFY, LIMITS, mayImport, roomOf } from './rooms.js'

/** All that breaks the rules of the house, one line a problem. eslint checks the sizes of functions and files. */
export function checkHouse (): string[] {
  const imports = readImports()
  const files = listSources()
  return [
    ...checkRooms(imports),
    ...findCircles(imports),
    ...checkFolders(files),
    ...checkPluginSizes(files.filter(file => file.startsWith('src/plugins/')).map(file => [file, readFileSync(join(ROOT, file), 'utf8')])),
    ...checkPlugins()
  ]
}

/** Imports that point up or sideways, and Fastify where it has no place. */
export function checkRooms (imports: Imports): string[] {
  return [...imports].flatMap(([file, { files, packages }]) => {
    const room = roomOf(file)
    if (!room) return [`${file} is in no room: add its folder to scripts/house/rooms.js`]
    return [
      ...files.filter(target => !mayImport(room, target)).map(target => `${file} must not import ${target}: ${room.path} may not import ${roomOf(target)?.path ?? 'it'}`),
      ...packages.filter(name => FASTIFY.test(name) && !room.fastify).map(name => `${file} must not import ${name}: ${room.path} knows nothing of Fastify`)
    ]
  })
}

/** Files that import each other, by whatever way round. */
export function findCircles (imports: Imports): string[] {
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (file: string, path: string[]): void => {
    const at = path.indexOf(file)
    if (at !== -1) circles.push(`circle: ${[...path.slice(at), file].join(' → ')}`)
    if (at !== -1 || done.has(file)) return
    for (const target of imports.get(file)?.files ?? []) visit(target, [...path, file])
    done.add(file)
  }
  for (const file of imports.keys()) visit(file, [])
  return circles
}

/** Folders with more files than a person takes in at once. */
export function checkFolders (files: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const file of files) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1)
  return [...counts].flatMap(([folder, count]) => {
    const limit = folder === 'src/plugins' ? LIMITS.plugins : LIMITS.folder
    return count > limit ? [`${folder} has ${count} files, and ${limit} are allowed`] : []
  })
}

/** Plugins that hold more than wiring. */
export function checkPluginSizes (plugins: ReadonlyArray<readonly [string, string]>): string[] {
  return plugins.flatMap(([file, text]) => {
    const lines = text.split('\n').length - 1
    return lines > LIMITS.plugin ? [`${file} has ${lines} lines, and ${LIMITS.plugin} are allowed: its logic belongs in a room`] : []
  })
}
