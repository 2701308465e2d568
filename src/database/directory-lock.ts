import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** How long a process that takes over a dead one's lock waits to see whether another did the same. */
const SETTLE_TIME = 50

export class DirectoryLockedError extends Error {
  constructor (directory: string, pid: number) {
    super(`The data directory ${directory} is in use by process ${pid}: stop that one, or set DATA_DIR to another directory`)
  }
}

interface Owner { pid: number, started: string | null }

/**
 * Takes a directory for this process alone; a process that died, however it did, holds nothing.
 * @returns a function that gives the directory free.
 * @throws {DirectoryLockedError} where a living process has it.
 */
export async function lockDirectory (directory: string): Promise<() => Promise<void>> {
  const path = join(directory, 'lock')
  const self: Owner = { pid: process.pid, started: await startOf(process.pid) }
  const unlock = () => rm(path, { force: true })
  try {
    await writeFile(path, JSON.stringify(self), { flag: 'wx' })
    return unlock
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  await refuseIfAlive(directory, path)
  await writeFile(`${path}.${process.pid}`, JSON.stringify(self))
  await rename(`${path}.${process.pid}`, path)
  // Two processes may have found the same dead owner: the one whose name stands in the end has the lock.
  await delay(SETTLE_TIME)
  await refuseIfAlive(directory, path)
  return unlock
}

async function refuseIfAlive (directory: string, path: string): Promise<void> {
  const owner = await readOwner(path)
  if (owner && owner.pid !== process.pid && await isAlive(owner)) throw new DirectoryLockedError(directory, owner.pid)
}

async function readOwner (path: string): Promise<Owner | undefined> {
  try {
    const owner = JSON.parse(await readFile(path, 'utf8')) as Owner
    return Number.isInteger(owner.pid) ? owner : undefined
  } catch {
    return undefined
  }
}

/** A process number is used again, after a restart of a container even at once: the time of its start tells it apart. */
async function isAlive (owner: Owner): Promise<boolean> {
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // EPERM: it lives, and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return owner.started === await startOf(owner.pid)
}

/** When a process started, in the kernel's ticks since boot, with the boot's id; null where there is no /proc. */
async function startOf (pid: number): Promise<string | null> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may hold spaces; the start is field 22.
    return `${boot.trim()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return null
  }
}
