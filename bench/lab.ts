import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepareDatabases, type Databases } from './database.js'
import { readMachine, shareCores, type Cores, type NodeProgram } from './machine.js'
import { compile, type Mark } from './native.js'

/** The environment that all measurements share. */
export interface Lab {
  /** For programs, requests and logs; deleted at the end. */
  directory: string
  cores?: Cores
  /** What starts the subjects that run on Node.js. */
  node: NodeProgram
  databases: Databases
  /** Whether windows are short and figures rough. */
  quick: boolean
  /** The largest part of their cores that the stand-in and the generator used; near 1, they are the bottleneck. */
  busiest: number
  /** Remarks on the conditions of a figure; the latest of each kind. */
  remarks: Map<string, string>
  /** First tokens of 500 paced streams without a subject, measured once a round. */
  floor?: Mark['first']
  /** Subjects that a load overtaxed: `<subject> <streams>`. */
  tooSlow: Set<string>
  log (line: string): void
}

export interface OpenLab extends Lab { close (): Promise<void> }

export async function openLab (options: { url: string, quick: boolean, node: NodeProgram, log: Lab['log'] }): Promise<OpenLab> {
  const directory = await mkdtemp(join(tmpdir(), 'jeesi-bench-'))
  const forget = () => rm(directory, { recursive: true, force: true })
  const databases = await prepare(directory, options.url).catch(async error => {
    await forget()
    throw error
  })
  let closing: Promise<void> | undefined
  return {
    ...options,
    directory,
    databases,
    busiest: 0,
    remarks: new Map(),
    tooSlow: new Set(),
    cores: shareCores(readMachine(options.node).cores),
    // Called by a signal handler and at the end.
    close: () => (closing ??= close())
  }

  async function close (): Promise<void> {
    await databases.close().finally(forget)
  }
}

async function prepare (directory: string, url: string): Promise<Databases> {
  compile(directory)
  return prepareDatabases(url)
}
