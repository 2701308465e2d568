import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createWhole } from '../lib/files.js'

/** How long another process needs at the most to remove a file. */
const BURIAL_PAUSE = 10

export class DirectoryLockedError extends Error {
  constructor (directory: string, pid: number) {
    super(`The data directory ${directory} is in use by process ${pid}: stop that one, or set DATA_DIR to another directory`)
  }
}

interface Owner { pid: number, started: string | null }

/**
 * Takes a directory for this caller alone; a process that died, however it did, holds nothing.
 * @returns a function that gives the directory free.
 * @throws {DirectoryLockedError} where a living process has it.
 */
export async function lockDirectory (directory: string): Promise<() => Promise<void>> {
  const path = join(directory, 'lock')
  const self = JSON.stringify({ pid: process.pid, started: await startOf(process.pid) } satisfies Owner)
  const holder = await take(path, self)
  if (holder) throw new DirectoryLockedError(directory, holder.pid)
  return () => rm(path, { force: true })
}

/** Takes a lock; returns the living process that has it, if there is one. */
async function take (path: string, self: string): Promise<Owner | undefined> {
  while (!await createWhole(path, self)) {
    const lock = await read(path)
    const owner = readOwner(lock)
    if (owner && await isAlive(owner)) return owner
    if (lock !== undefined) await bury(path, lock, self)
  }
}

/**
 * Removes a dead owner's lock. Of several who found it only the one who has the lock on this very burial may: the others
 * would remove the lock of whoever came after.
 */
async function bury (path: string, dead: string, self: string): Promise<void> {
  const burial = `${path}.${createHash('sha256').update(dead).digest('hex').slice(0, 16)}`
  if (await take(burial, self)) return delay(BURIAL_PAUSE)
  if (await read(path) === dead) await rm(path, { force: true })
  await rm(burial, { force: true })
}

async function read (path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function readOwner (lock = ''): Owner | undefined {
  try {
    const owner = JSON.parse(lock) as Owner
    return Number.isInteger(owner.pid) ? owner : undefined
  } catch {
    return undefined
  }
}

/** A process number is used again, after a restart of a container even at once: the time of its start tells it apart. */
async function isAlive (owner: Owner): Promise<boolean> {
  // Where no start is known our own number can only be that of one who is gone.
  if (owner.pid === process.pid && owner.started === null) return false
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
