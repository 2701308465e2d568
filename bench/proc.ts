import { readdir, readFile } from 'node:fs/promises'

/** Ticks of the kernel's clock a second, which Linux has fixed for all programs. */
const TICKS_PER_SECOND = 100

/** Processor milliseconds of a process and its children, all their threads, as the kernel counts them. */
export async function cpuMs (pid: number): Promise<number> {
  const times = await Promise.all((await tree(pid)).map(async id => {
    // The name, which may hold anything, is in brackets.
    const fields = (await readFile(`/proc/${id}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ')
    return Number(fields[11]) + Number(fields[12])
  }))
  return sum(times) * 1000 / TICKS_PER_SECOND
}

/** Bytes of memory that a process and its children have to themselves, their part of what they share included. */
export async function memoryBytes (pid: number): Promise<number> {
  const sizes = await Promise.all((await tree(pid)).map(async id => {
    const rollup = await readFile(`/proc/${id}/smaps_rollup`, 'utf8')
    return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024
  }))
  return sum(sizes)
}

async function tree (pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`)
  const children = await Promise.all(tasks.map(async task =>
    (await readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => '')).split(' ').filter(Boolean).map(Number)))
  const below = await Promise.all(children.flat().map(child => tree(child).catch(() => [])))
  return [pid, ...below.flat()]
}

function sum (numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
