import { createInterface } from 'node:readline'
import { FACES, type FaceClient } from './faces.js'
import type { Answer, Order } from './process.js'

// The clients of all faces, in a process of its own, since some packages need a newer Node. Argument: JSON with the directory of each
// package. Reads orders, a line of JSON each, and answers each with a line when it is done.
const directories: Record<string, string> = JSON.parse(process.argv[2]!)
// A transport of the AI SDK prints each connection that broke.
console.error = () => {}
const clients = new Map<string, Promise<FaceClient>>()

function clientOf (name: string): Promise<FaceClient> {
  const { from, load } = FACES[name]!
  const client = clients.get(name) ?? load(from === undefined ? '' : directories[from]!)
  clients.set(name, client)
  return client
}

async function answer ({ face, ...question }: Order): Promise<Answer> {
  const client = await clientOf(face)
  try {
    return { text: await client.ask(question) }
  } catch (error: any) {
    return { error: { isTyped: client.isTyped(error), sentence: `${error.name} ${error.code ?? ''}: ${error.message} ${error.cause?.message ?? ''}` } }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { number, ...order } = JSON.parse(line)
  answer(order).then(answer => console.log(JSON.stringify({ number, ...answer })))
}
