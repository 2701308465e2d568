import { link, rm, writeFile } from 'node:fs/promises'

/**
 * Creates a file of the owner alone, atomically: no other process ever reads it empty or half written.
 * @returns false if the file exists already; it is left unchanged.
 * @throws the file system's error, for example if the directory does not exist.
 */
export async function createWhole (path: string, content: string): Promise<boolean> {
  const unfinished = `${path}.new-${process.pid}-${Math.random().toString(36).slice(2)}`
  await writeFile(unfinished, content, { mode: 0o600 })
  try {
    await link(unfinished, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(unfinished, { force: true })
  }
}
