import { link, rm, writeFile } from 'node:fs/promises'

/**
 * Creates a file with its whole content at once, so that nobody ever sees it empty or half written.
 * @returns false where there is one already, which stays as it is.
 */
export async function createWhole (path: string, content: string, mode = 0o644): Promise<boolean> {
  const unfinished = `${path}.new-${process.pid}-${Math.random().toString(36).slice(2)}`
  await writeFile(unfinished, content, { mode })
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
