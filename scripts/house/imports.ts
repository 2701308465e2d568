import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SOURCES = ['src', 'supabase/functions']
const SHARED = 'supabase/functions/_shared/'

/** What each source file imports: other sources by their path from the project's folder, types included, and packages. */
export type Imports = Map<string, { files: string[], packages: string[] }>

export function readImports (root = ROOT): Imports {
  return new Map(listSources(root).map(file => [file, importsOf(file, readFileSync(join(root, file), 'utf8'))]))
}

export function listSources (root = ROOT): string[] {
  return SOURCES.flatMap(folder => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ parentPath, name }) => join(parentPath, name).slice(root.length))
    .sort())
}

/** Static and dynamic imports of a file. */
export function importsOf (file: string, text: string): { files: string[], packages: string[] } {
  const specifiers = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName)
  const local = specifiers.filter(isLocal)
  return {
    files: [...new Set(local.map(specifier => resolve(file, specifier)))],
    packages: [...new Set(specifiers.filter(specifier => !isLocal(specifier)))]
  }
}

function isLocal (specifier: string): boolean {
  return specifier.startsWith('.') || specifier.startsWith('#shared/')
}

function resolve (file: string, specifier: string): string {
  const path = specifier.startsWith('#shared/') ? SHARED + specifier.slice('#shared/'.length) : normalize(join(dirname(file), specifier))
  const source = path.replace(/\.js$/, '.ts')
  return existsSync(join(ROOT, source)) ? source : path
}
