import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'

/** A folder that goes with the test. */
export async function createFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'jeesi-test-docs-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/**
 * Installs a package `documented` where an interpreter of `findPython` finds it.
 * @param modules the text of each module, by its name.
 */
export async function installModules (t: Test, python: string, modules: Record<string, string>): Promise<void> {
  const folder = await createFolder(t)
  await mkdir(join(folder, 'documented'))
  await writeFile(join(folder, 'documented', '__init__.py'), '')
  for (const [name, text] of Object.entries(modules)) await writeFile(join(folder, 'documented', `${name}.py`), text)
  const lib = join(dirname(dirname(python)), 'lib')
  const [version] = (await readdir(lib)).filter(name => name.startsWith('python'))
  await writeFile(join(lib, version!, 'site-packages', 'documented.pth'), `${folder}\n`)
}
