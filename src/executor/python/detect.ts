import { execFile, type ExecFileException } from 'node:child_process'

/** A Python interpreter that works, or the reason why there is none. It is passing if the machine could not try: another time it may. */
export type DetectedPython = { path: string, version: string } | { reason: string, isPassing?: true }

const MIN_VERSION = '3.9'
/** Workers fork, so this fails on a system without fork. */
const SCRIPT = 'import os, sys; os.fork; print(sys.executable); print("%d.%d" % sys.version_info[:2])'
/** Milliseconds; an interpreter that starts more slowly is not usable. */
const TIMEOUT_MS = 10_000
/** Of a machine that has no memory, processes or descriptors left. */
const SCARCE = ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM']

/**
 * Detects whether a command is a Python that workers can use: 3.9 or newer. Never rejects.
 * @returns the path of the interpreter itself, which starts faster than a wrapper.
 */
export function detectPython (command: string, env: Record<string, string>): Promise<DetectedPython> {
  return new Promise<DetectedPython>(resolve => {
    execFile(command, ['-s', '-c', SCRIPT], { env, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' }, (error, stdout) => {
      const [path, version] = stdout.trim().split('\n')
      const obstacle = obstacleOf(error)
      if (obstacle) resolve({ reason: `${command} could not be tried (${obstacle})`, isPassing: true })
      else if (error?.code === 'ENOENT') resolve({ reason: `there is no ${command}` })
      else if (error || !path || !/^\d+\.\d+$/.test(version ?? '')) resolve({ reason: `${command} is not a working Python` })
      else if (isOlder(version!)) resolve({ reason: `${command} is Python ${version}, but ${MIN_VERSION} or newer is needed` })
      else resolve({ path, version: version! })
    })
    // Thrown where the system has no memory for another process.
  }).catch((error): DetectedPython => ({ reason: `${command} could not be tried (${obstacleOf(error) ?? 'it was not started'})`, isPassing: true }))
}

/** What kept an interpreter from saying whether it works: its time, its end by a signal, or the machine. */
function obstacleOf (error: ExecFileException | null): string | undefined {
  if (error?.killed) return `it took more than ${TIMEOUT_MS / 1000} s`
  return error?.signal ?? SCARCE.find(code => code === error?.code)
}

function isOlder (version: string): boolean {
  return version.localeCompare(MIN_VERSION, 'en', { numeric: true }) < 0
}

/** The whole environment of a Python process. It contains none of the service's variables except the path of commands. */
export function bareEnvironment (searchPath = '/usr/local/bin:/usr/bin:/bin'): Record<string, string> {
  return { PATH: searchPath, HOME: '/nonexistent', LANG: 'C.UTF-8', PYTHONUNBUFFERED: '1' }
}
