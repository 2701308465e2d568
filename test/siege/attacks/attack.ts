import { setTimeout as delay } from 'node:timers/promises'
import { Agent, type Dispatcher, request } from 'undici'
import type { User, World } from '../world.js'

/** Something that one caller, author or server does to take the service from all others. */
export interface Attack {
  /** Makes what the attack needs. Resolves to the attack, which ends soon after its signal is aborted. */
  prepare (world: World): Promise<(signal: AbortSignal) => Promise<void>>
}

/** Attackers come from an address of their own; what is counted by address is not counted for others. */
export const ATTACKER_ADDRESS = '127.0.0.66'
const dispatcher = new Agent({ connect: { localAddress: ATTACKER_ADDRESS }, connections: 256, headersTimeout: 0, bodyTimeout: 0 })

/** Sends a request as an attacker does, and forgets the answer. Never rejects; resolves to the status, 0 if there was none. */
export async function post (url: string, headers: Record<string, string>, body: string | Buffer | undefined, signal: AbortSignal, method: Dispatcher.HttpMethod = 'POST'): Promise<number> {
  try {
    const response = await request(url, { method, dispatcher, signal, body, headers: { 'content-type': 'application/json', ...headers } })
    await response.body.dump({ limit: 1e9, signal })
    return response.statusCode
  } catch {
    return 0
  }
}

/** Executes an agent in the background: 202, or a refusal. */
export function execute (url: string, user: User, agentId: string, text: string, signal: AbortSignal, background = true): Promise<number> {
  return post(`${url}/api/agent/execute`, { authorization: `Bearer ${user.token}` },
    JSON.stringify({ agentId, background, stream: false, messages: [{ role: 'user', content: text }] }), signal)
}

/** Does something again and again, so many at a time, until the signal is aborted. */
export async function repeat (parallel: number, signal: AbortSignal, act: (n: number) => Promise<unknown>): Promise<void> {
  let n = 0
  await Promise.all(Array.from({ length: parallel }, async () => {
    while (!signal.aborted) {
      await act(n++)
      // What is refused at once would keep this process from everything else.
      await delay(1)
    }
  }))
}

/** Resolves when the signal is aborted. */
export function untilAborted (signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
