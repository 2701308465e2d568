import { execFile } from 'node:child_process'

/** A Python that is there, or why there is none. */
export type FoundPython = { path: string, version: string } | { why: string }

const OLDEST = '3.9'
/** Workers fork: where that is not to be had the answer is an error. */
const ASK = 'import os, sys; os.fork; print(sys.executable); print("%d.%d" % sys.version_info[:2])'
/** A Python that takes longer to say its version is no good to anybody. */
const ANSWER_MS = 10_000

/**
 * Looks whether a command is a Python that workers can run on: 3.9 or newer.
 * @returns the interpreter itself, which starts faster than a wrapper of it.
 */
export function detectPython (command: string, env: Record<string, string>): Promise<FoundPython> {
  return new Promise(resolve => {
    execFile(command, ['-s', '-c', ASK], { env, timeout: ANSWER_MS, killSignal: 'SIGKILL' }, (error, stdout) => {
      const [path, version] = stdout.trim().split('\n')
      if (error?.code === 'ENOENT') resolve({ why: `there is no ${command}` })
      else if (error || !path || !/^\d+\.\d+$/.test(version ?? '')) resolve({ why: `${command} is no Python that works` })
      else if (isOlder(version!)) resolve({ why: `${command} is Python ${version}, and ${OLDEST} is the oldest that will do` })
      else resolve({ path, version: version! })
    })
  })
}

function isOlder (version: string): boolean {
  return version.localeCompare(OLDEST, 'en', { numeric: true }) < 0
}

/** All that a Python process sees of the service's environment: where commands are. */
export function bareEnvironment (searchPath = '/usr/local/bin:/usr/bin:/bin'): Record<string, string> {
  return { PATH: searchPath, HOME: '/nonexistent', LANG: 'C.UTF-8', PYTHONUNBUFFERED: '1' }
}
