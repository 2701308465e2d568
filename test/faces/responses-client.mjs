// What a program that speaks Responses by OpenAI's package does, in a process of its own, since the newer package needs a newer Node.
// Argument: the package's directory. Reads orders, a line of JSON each: {url, key, call, args, options}; answers each with a line: what came of it.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [directory] = process.argv.slice(2)
const { default: OpenAI } = await import(pathToFileURL(createRequire(`${directory}/`).resolve(directory)).href)

async function read (stream) {
  const events = []
  for await (const event of stream) events.push(event)
  return events
}

/** The package's helper checks the whole protocol, and puts the response together. */
async function help (stream) {
  const events = []
  stream.on('event', event => events.push(event))
  const response = await stream.finalResponse()
  return { events, response }
}

const CALLS = {
  create: ({ responses }, args) => responses.create(args),
  stream: async ({ responses }, args) => read(await responses.create({ ...args, stream: true })),
  helper: ({ responses }, args) => help(responses.stream(args)),
  retrieve: ({ responses }, { id }) => responses.retrieve(id),
  retrieveStream: async ({ responses }, { id, ...query }) => read(await responses.retrieve(id, { stream: true, ...query })),
  retrieveHelper: ({ responses }, { id, ...query }) => help(responses.stream({ response_id: id, ...query })),
  cancel: ({ responses }, { id }) => responses.cancel(id),
  delete: ({ responses }, { id }) => responses.delete(id),
  async inputItems ({ responses }, { id, query }) {
    const items = []
    for await (const item of responses.inputItems.list(id, query)) items.push(item)
    return items
  },
  /** Leaves after the first text. */
  async leave ({ responses }, args) {
    const events = []
    for await (const event of await responses.create({ ...args, stream: true })) {
      events.push(event)
      if (event.type === 'response.output_text.delta') break
    }
    return events
  }
}

async function answer ({ url, key, call, args, options }) {
  try {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, ...options })
    return { node: process.version, result: await CALLS[call](client, args) ?? null }
  } catch (error) {
    const { status, code, type, param, message, requestID, headers } = error
    const shouldRetry = headers?.get?.('x-should-retry')
    return { error: { class: error.constructor.name, status, code, type, param, message, requestId: requestID, shouldRetry } }
  }
}

// Each is answered when it is done: a test may wait for one while it asks others.
for await (const line of createInterface({ input: process.stdin })) {
  const { number, ...order } = JSON.parse(line)
  answer(order).then(outcome => console.log(JSON.stringify({ number, ...outcome })))
}
