import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Lab } from '../lab.js'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
let installed: Promise<string | undefined> | undefined

/** Installs what subjects need and the service does not, once. @returns a sentence, where that fails. */
export function install (lab: Lab): Promise<string | undefined> {
  installed ??= installOnce(lab)
  return installed
}

async function installOnce (lab: Lab): Promise<string | undefined> {
  const isThere = await access(`${FOLDER}node_modules/ai`).then(() => true, () => false)
  if (isThere) return undefined
  lab.say('Installing the AI SDK and Portkey\'s gateway into bench/subjects/node_modules …')
  try {
    await promisify(execFile)('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], { cwd: FOLDER })
    return undefined
  } catch (error) {
    return `it cannot be installed: ${(error as Error).message.split('\n')[0]}`
  }
}
