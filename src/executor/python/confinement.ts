import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ROOT } from '../../config/root.js'

/** The folder of the worker's modules and of agents. */
export const PYTHON_FOLDER = fileURLToPath(new URL('python/', ROOT))

/** Which restrictions of agents are in force on this machine. */
export interface Confinement {
  /** Memory and processes of a worker are bounded together. */
  bounds: boolean
  /** The environment of the service, and of what started it, cannot be read. */
  environment: boolean
  /** The service cannot be ended by signals. */
  signals: boolean
}

/** Milliseconds; a probe that takes longer counts as failed. */
const TIMEOUT_MS = 10_000

const SENTENCES: Record<keyof Confinement, [inForce: string, missing: string]> = {
  bounds: ['memory and processes are bounded by worker', 'memory and processes of what they start are not bounded'],
  environment: ['the environment of this service is hidden from them', 'they can read the environment of this service, and with it its secrets'],
  signals: ['they can signal no other process', 'they can end other processes of this user']
}

/**
 * Tries the restrictions as a process that the service starts, in the way of a worker. Never rejects.
 * @param path the interpreter.
 * @returns undefined if the probe failed.
 */
export function probeConfinement (path: string, env: Record<string, string>): Promise<Confinement | undefined> {
  const options = { cwd: PYTHON_FOLDER, env, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' } as const
  return new Promise(resolve => {
    execFile(path, ['-s', '-m', 'jeesi_worker.probe'], options, (error, stdout) => {
      try {
        resolve(error ? undefined : JSON.parse(stdout))
      } catch {
        resolve(undefined)
      }
    })
  })
}

/** Says of each restriction in a clause whether it is in force. One that could not be tried counts as missing. */
export function describeConfinement (confinement: Confinement | undefined): { inForce: string[], missing: string[] } {
  const names = Object.keys(SENTENCES) as Array<keyof Confinement>
  return {
    inForce: names.flatMap(name => confinement?.[name] ? SENTENCES[name][0] : []),
    missing: names.flatMap(name => confinement?.[name] ? [] : SENTENCES[name][1])
  }
}
