// A program with one of OpenAI's packages, in a process of its own, since the newer package needs a newer Node.
// Its argument is the package's directory. It reads orders, a line of JSON each: {number, url, key, call, args, options}.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [directory] = process.argv.slice(2)
const { default: OpenAI } = await import(pathToFileURL(createRequire(`${directory}/`).resolve(directory)).href)

/**
 * Answers each order with a line when it is done, which says what came of it: a test may wait for one while it asks others.
 * @param {Record<string, (client: any, args: any) => Promise<unknown>>} calls what can be ordered, by its name.
 */
export async function answerOrders (calls) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { number, ...order } = JSON.parse(line)
    answer(calls, order).then(outcome => console.log(JSON.stringify({ number, ...outcome })))
  }
}

async function answer (calls, { url, key, call, args, options }) {
  try {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, ...options })
    return { node: process.version, result: await calls[call](client, args) ?? null }
  } catch (error) {
    const { status, code, type, param, message, requestID: requestId, headers } = error
    const [shouldRetry, runId] = ['x-should-retry', 'x-run-id'].map(name => headers?.get?.(name))
    return { error: { class: error.constructor.name, status, code, type, param, message, requestId, shouldRetry, runId } }
  }
}
