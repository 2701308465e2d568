import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createWhole } from '../lib/files.js'

/** Milliseconds to wait while another process removes a dead owner's lock. */
const REMOVAL_PAUSE_MS = 10
/** The file that says where a service listens. */
const ADDRESS = 'lock.address'

export class DirectoryLockedError extends Error {
  /** @param pid the living process that holds the lock. */
  constructor (directory: string, readonly pid: number) {
    super(`The data directory ${directory} is in use by process ${pid}: stop that one, or set DATA_DIR to another directory`)
  }
}

interface Owner { pid: number, started: string | null }

/**
 * Locks a directory for this process. The lock of a process that has died does not count.
 * @returns a function that releases the lock.
 * @throws {DirectoryLockedError} if a living process holds the lock.
 */
export async function lockDirectory (directory: string): Promise<() => Promise<void>> {
  const path = join(directory, 'lock')
  const self = JSON.stringify({ pid: process.pid, started: await startOf(process.pid) } satisfies Owner)
  const holder = await acquire(path, self)
  if (holder) throw new DirectoryLockedError(directory, holder.pid)
  return () => rm(path, { force: true })
}

/** Leaves word in a directory that this process has locked where its service listens, for commands that find it locked. */
export async function leaveAddress (directory: string, url: string): Promise<void> {
  const path = join(directory, ADDRESS)
  await rm(path, { force: true })
  await createWhole(path, JSON.stringify({ pid: process.pid, url }))
}

/** Where the service of the process that has locked a directory listens; undefined if it is no service, or does not listen yet. */
export async function readAddress (directory: string, pid: number): Promise<string | undefined> {
  try {
    const left = JSON.parse(await read(join(directory, ADDRESS)) ?? '') as { pid: number, url: string }
    return left.pid === pid ? left.url : undefined
  } catch {
    return undefined
  }
}

/** Acquires a lock, or returns the living process that holds it. */
async function acquire (path: string, self: string): Promise<Owner | undefined> {
  while (!await createWhole(path, self)) {
    const lock = await read(path)
    const owner = readOwner(lock)
    if (owner && await isAlive(owner)) return owner
    if (lock !== undefined) await removeDead(path, lock, self)
  }
}

/**
 * Removes a dead owner's lock. The removal has a lock of its own: otherwise, of several processes that found the dead
 * lock, a late one would remove the new lock of an early one.
 */
async function removeDead (path: string, dead: string, self: string): Promise<void> {
  const removal = `${path}.${createHash('sha256').update(dead).digest('hex').slice(0, 16)}`
  if (await acquire(removal, self)) return delay(REMOVAL_PAUSE_MS)
  if (await read(path) === dead) await rm(path, { force: true })
  await rm(removal, { force: true })
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

/** Compares the start time too: process ids are reused, after a restart of a container even at once. */
async function isAlive (owner: Owner): Promise<boolean> {
  // Without start times, a lock with our own process id can only be a dead process's.
  if (owner.pid === process.pid && owner.started === null) return false
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    // EPERM: the process is alive and belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return owner.started === await startOf(owner.pid)
}

/** When a process started, in the kernel's ticks since boot, with the boot's id; null on systems without /proc. */
async function startOf (pid: number): Promise<string | null> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in parentheses, which may contain spaces; the start time is field 22.
    return `${boot.trim()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return null
  }
}
