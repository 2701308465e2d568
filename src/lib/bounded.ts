import { createContext, Script } from 'node:vm'

const world: { job?: () => unknown } = createContext({})
const script = new Script('job()')

/**
 * Runs something that ends by itself or is broken off after so many milliseconds: what somebody else's data makes of it
 * may take for ever. Not for what runs another one within.
 * @throws what it throws; an error of the code ERR_SCRIPT_EXECUTION_TIMEOUT.
 */
export function runBounded<T> (job: () => T, ms: number): T {
  world.job = job
  try {
    return script.runInContext(world, { timeout: ms }) as T
  } finally {
    world.job = undefined
  }
}
