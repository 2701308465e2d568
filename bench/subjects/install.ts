import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Lab } from '../lab.js'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
let installed: Promise<string | undefined> | undefined

/** Installs the subjects' own dependencies, once. @returns a sentence if that fails. */
export function install (lab: Lab): Promise<string | undefined> {
  installed ??= installOnce(lab)
  return installed
}

async function installOnce (lab: Lab): Promise<string | undefined> {
  if (await isInstalled()) return undefined
  lab.log('Installing Express, the AI SDK and Portkey\'s gateway into bench/subjects/node_modules …')
  try {
    await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: FOLDER })
    return undefined
  } catch (error) {
    return `it cannot be installed: ${(error as Error).message.split('\n')[0]}`
  }
}

/** Whether all dependencies are installed in their versions. */
async function isInstalled (): Promise<boolean> {
  const { dependencies } = await readManifest('package.json')
  const present = await Promise.all(Object.entries(dependencies).map(async ([name, version]) =>
    (await readManifest(`node_modules/${name}/package.json`).catch(() => undefined))?.version === version))
  return present.every(Boolean)
}

async function readManifest (path: string): Promise<{ version: string, dependencies: Record<string, string> }> {
  return JSON.parse(await readFile(`${FOLDER}${path}`, 'utf8'))
}
