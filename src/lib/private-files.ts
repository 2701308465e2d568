import { chmod, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'

const FOLDER = 0o700
const FILE = 0o600
/** What this service puts into a data directory. Whatever else stands there, such as a volume's lost+found, is not its own. */
const OURS = /^(postgres(\.new-.*)?|jwt-secret.*|lock.*)$/

/**
 * Creates a data directory for its owner alone, or makes an existing one so. One that belongs to another user, such as a
 * mounted volume, keeps its mode; what the service puts into it is private all the same.
 */
export async function createPrivateFolder (dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: FOLDER })
  await chmod(dataDir, FOLDER).catch(error => {
    if (error.code !== 'EPERM') throw error
  })
}

/**
 * Makes what the service has put into a data directory readable and writable for its owner alone. The caller has the
 * directory's lock.
 * @throws the file system's error, for example if one of the files belongs to somebody else.
 */
export async function makeContentPrivate (dataDir: string): Promise<void> {
  await tighten(dataDir, name => OURS.test(name))
}

/** Tightens what is in a folder: PGlite unpacks a new database into files that everybody may read and write, whatever the umask; its folders
 * are private from the beginning. */
async function tighten (folder: string, isMeant: (name: string) => boolean): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true })
  await Promise.all(entries.filter(({ name }) => isMeant(name)).map(async entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      await chmod(path, FOLDER)
      await tighten(path, () => true)
    } else if (entry.isFile()) {
      // The temporary file of a command beside the service may be gone by now.
      await chmod(path, FILE).catch(error => {
        if (error.code !== 'ENOENT') throw error
      })
    }
  }))
}
