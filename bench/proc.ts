import { readdir, readFile } from 'node:fs/promises'

/** The kernel's clock ticks per second, which Linux fixes at 100 in its user interface. */
const TICKS_PER_SECOND = 100

/** Processor time of a process and its descendants, user and system, in milliseconds. */
export async function cpuMs (pid: number): Promise<number> {
  const times = await Promise.all((await tree(pid)).map(async id => {
    // The program's name, in parentheses, may contain any character.
    const fields = (await readFile(`/proc/${id}/stat`, 'utf8')).replace(/^.*\) /s, '').split(' ')
    return Number(fields[11]) + Number(fields[12])
  }))
  return sum(times) * 1000 / TICKS_PER_SECOND
}

/** Proportional set size (PSS) of a process and its descendants, in bytes. */
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
