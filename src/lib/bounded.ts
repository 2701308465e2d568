import { createContext, Script } from 'node:vm'

const sandbox: { job?: () => unknown } = createContext({})
const script = new Script('job()')

/**
 * Runs a synchronous job and interrupts it after some milliseconds, for jobs that foreign data may make endless. Calls
 * must not be nested.
 * @throws what the job throws; an error with the code ERR_SCRIPT_EXECUTION_TIMEOUT after the timeout.
 */
export function runBounded<T> (job: () => T, ms: number): T {
  sandbox.job = job
  try {
    return script.runInContext(sandbox, { timeout: ms }) as T
  } finally {
    sandbox.job = undefined
  }
}
