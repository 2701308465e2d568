import { format } from 'node:util'
import type { Logger } from 'pino'

const LEVELS = { log: 'info', info: 'info', warn: 'warn', error: 'error' } as const
/** How libraries mark a line that they write by themselves. */
const MARK = /^\[(WARN|WARNING|ERROR|INFO)\] ?/
/** What an operator does about such lines, by what they say. */
const ADVICE: ReadonlyArray<[RegExp, string]> = [
  [/does not require a password, but a password was supplied/, 'remove the password from REDIS_URL, or set one at the server']
]
/** Characters of a line, and how many different ones are told. */
const MAX_LENGTH = 1000
const MAX_LINES = 100

/**
 * Lets what libraries write to the console come as lines of the log, each once: ioredis warns so of a password that no
 * server asks for, on every connection.
 */
export function logConsole (log: Pick<Logger, 'info' | 'warn' | 'error'>): void {
  const told = new Set<string>()
  for (const [method, level] of Object.entries(LEVELS) as Array<[keyof typeof LEVELS, 'info' | 'warn' | 'error']>) {
    console[method] = (...args: unknown[]) => {
      const text = format(...args).replace(MARK, '').trim().slice(0, MAX_LENGTH)
      if (told.has(text) || told.size >= MAX_LINES) return
      told.add(text)
      const advice = ADVICE.find(([says]) => says.test(text))?.[1]
      log[level](advice ? `${text}: ${advice}` : text)
    }
  }
}
